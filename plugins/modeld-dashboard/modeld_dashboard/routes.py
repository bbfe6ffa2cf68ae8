# SPDX-License-Identifier: GPL-3.0-only
"""What is served under ``/ui``. Only a server imports this: it needs the web stack."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from modeld import PublicRoute
from modeld.errors import InvalidRequestError, NotFoundError
from modeld_dashboard.feed import Feed
from modeld_dashboard.pages import is_known, read_pages


class Dashboard:
    """Serves the pages and their feed."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._pages = read_pages()

    def routes(self) -> list[BaseRoute | PublicRoute]:
        """Return the routes, the feed first: the pages' route would match its address too."""
        pages = (("/", self.lead), ("/ui", self.lead), ("/ui/{path:path}", self.page))
        return [
            Route("/ui/feed", self.tell, methods=["GET"], name="dashboard_feed"),
            *(
                PublicRoute(Route(path, endpoint, methods=["GET"], include_in_schema=False))
                for path, endpoint in pages
            ),
        ]

    async def tell(self, request: Request) -> Response:
        """Tell what has happened since an event, for the dashboard.

        The latest events of models and requests, and what each model has held in memory over
        the last half hour.
        ---
        operationId: dashboard_feed
        parameters:
          - name: after
            in: query
            description: the sequence of an earlier response; 0 tells all that is kept
            schema: {type: integer, minimum: 0, maximum: 9007199254740991, default: 0}
        responses:
          200:
            description: What has happened
            content:
              application/json:
                schema:
                  type: object
                  required: [feed, sequence, server_time_unix, events, memory]
                  properties:
                    feed: {type: string, description: another one after a restart}
                    sequence: {type: integer, description: the number of the latest event}
                    server_time_unix: {type: number, description: in seconds}
                    events: {type: array, items: {type: object}}
                    memory: {type: object}
                example:
                  feed: 5f0c9a51d3c94b64a8f5b33d7a1c8f0e
                  sequence: 2
                  server_time_unix: 1795386580.4
                  events:
                    - sequence: 2
                      time_unix: 1795386571.9
                      kind: model_loading
                      model: tiny.gguf
                  memory: {history_s: 1800.0, held_before: {}, changes: []}
        """
        body = self._feed.after(_sequence(request.query_params.get("after", "0")))
        return JSONResponse(body, headers={"Cache-Control": "no-store"})

    async def page(self, request: Request) -> Response:
        """Send one of the static files, unless the browser has it already."""
        page = self._pages.get(request.path_params["path"])
        if page is None:
            raise NotFoundError("the dashboard has no such file")
        if is_known(page.headers["ETag"], request.headers.get("if-none-match", "")):
            return Response(status_code=304, headers=dict(page.headers))
        return Response(page.content, headers=dict(page.headers))

    async def lead(self, request: Request) -> Response:
        """Lead to the pages; relative, so that it holds under any prefix and behind any proxy."""
        query = request.url.query
        return Response(status_code=307, headers={"Location": f"ui/?{query}" if query else "ui/"})


def _sequence(text: str) -> int:
    """Return the number in ``?after=``.

    Raises:
        InvalidRequestError: it is none.
    """
    if not re.fullmatch(r"[0-9]{1,16}", text):
        raise InvalidRequestError(
            "after: must be the sequence of an earlier response, or 0 for all", field="after"
        )
    return int(text)
