# SPDX-License-Identifier: GPL-3.0-only
"""Swagger UI under ``/swagger``, from files in the package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlette.responses import Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from modeld.dialects.documents import Content, Header, Parameter, ResponseDoc
from modeld.errors import NotFoundError
from modeld.httpapi.routes.operations import Operation

# Swagger UI sets styles of its own; everything else comes from this server or not at all.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline';"
    " img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'"
)
_FOLDER = Path(__file__).parents[1] / "static" / "swagger"
_EXAMPLES = {
    "text/html": "<!DOCTYPE html>\n<title>modeld API</title>\n",
    "text/css": ".swagger-ui { box-sizing: border-box }\n",
    "text/javascript": "window.ui = SwaggerUIBundle()\n",
    "application/javascript": "window.ui = SwaggerUIBundle()\n",
    "text/plain": "Apache License\n",
    "application/octet-stream": "swagger-ui-dist 5.0.0\n",
}
"""What the files are; the type of a script depends on the system."""

_HEADERS = (
    Header(
        name="Content-Security-Policy", value=_POLICY, description="what the page may load and do"
    ),
    Header(
        name="Referrer-Policy", value="no-referrer", description="the page's address is told nobody"
    ),
    Header(name="ETag", description="changes when the file does; for If-None-Match"),
)
_CHANGED = Header(name="Last-Modified", description="when the file was changed last")


class _Pages(StaticFiles):
    """The files, each sent as a whole: they are small, and a bad range would not get our error."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(name, value) for name, value in scope["headers"] if name != b"range"]
        await super().__call__({**scope, "headers": headers}, receive, send)

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        if "accept-ranges" in response.headers:
            del response.headers["accept-ranges"]
        response.headers["Content-Security-Policy"] = _POLICY
        response.headers["Referrer-Policy"] = "no-referrer"
        return response


def swagger_route() -> Mount:
    """Return the route that serves the pages; they read ``doc.json`` beside them."""
    return Mount("/swagger", _pages(), name="swagger")


def swagger_operation() -> Operation:
    """Return what the API's description says of the pages."""
    contents = tuple(
        Content(media_type=media_type, example=example) for media_type, example in _EXAMPLES.items()
    )
    return Operation(
        method="GET",
        path="/swagger/{path}",
        endpoint=_pages(),
        name="swagger",
        tag="description",
        summary="Show this API in a browser",
        description="Swagger UI is at `index.html`; it loads nothing from elsewhere.",
        parameters=(
            Parameter(
                name="path",
                location="path",
                description="a file of Swagger UI",
                example="index.html",
            ),
            Parameter(
                name="If-None-Match", location="header", description="the ETag of a copy at hand"
            ),
            Parameter(
                name="If-Modified-Since",
                location="header",
                description="the Last-Modified of a copy at hand",
            ),
        ),
        responses=(
            ResponseDoc(
                status=200, description="The file", contents=contents, headers=(*_HEADERS, _CHANGED)
            ),
            ResponseDoc(status=304, description="The copy at hand is this one", headers=_HEADERS),
        ),
        raises=(NotFoundError,),
        needs_service=False,
    )


def _pages() -> _Pages:
    return _Pages(directory=_FOLDER, html=True)
