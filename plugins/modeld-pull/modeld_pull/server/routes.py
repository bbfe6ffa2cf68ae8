# SPDX-License-Identifier: GPL-3.0-only
"""The routes of pulls. Only a server imports this: it needs the web stack."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from modeld import Settings
from modeld_pull.errors import PullOffError
from modeld_pull.reference import Reference, UrlReference, is_below, reference_of
from modeld_pull.server.body import document_of, read_body
from modeld_pull.server.documents import CANCEL, LIST, PULL, described
from modeld_pull.server.pulls import Pulls
from modeld_pull.server.telling import UNCACHED, Following
from modeld_pull.settings import PullSettings


class PullRoutes:
    """Serves ``/models/pull`` and ``/models/pulls``."""

    def __init__(self, settings: Settings, pulls: Pulls) -> None:
        self._pulls = pulls
        self._own = settings.of(PullSettings)
        self._write_timeout_s = settings.write_timeout_s

    def routes(self) -> list[BaseRoute]:
        """Return the routes; all of them are behind the keys."""
        return [
            Route("/models/pull", self.pull, methods=["POST"], name="pull_model"),
            Route("/models/pulls", self.list, methods=["GET"], name="list_pulls"),
            Route("/models/pulls/{id}", self.cancel, methods=["DELETE"], name="cancel_pull"),
        ]

    @described(PULL)
    async def pull(self, request: Request) -> Response:
        """Bring a model into the models folder.

        From a repository of the hub, or from a URL that the settings allow. The models are looked
        for again before it says `done`, so the model can be used at once. A client that leaves
        cancels the pull, unless it is detached or others wait for it too; what has come is kept
        for the next one. The server refuses unless `pull.clients` is set.
        """
        self._check_allowed()
        body = await read_body(request)
        reference = reference_of(
            body.source, file=body.file, revision=body.revision, sha256=body.sha256
        )
        self._check_source(reference)
        job = await self._pulls.start(reference)
        job.is_detached = job.is_detached or body.detach
        if body.detach and not body.stream:
            return JSONResponse(document_of(job), status_code=202, headers=UNCACHED)
        return Following(job, streams=body.stream, write_timeout_s=self._write_timeout_s)

    @described(LIST)
    async def list(self, _request: Request) -> Response:
        """List the pulls: those that run, and the last that have ended.

        The last ones are few; older ones are forgotten.
        """
        self._check_allowed()
        pulls = [document_of(job) for job in self._pulls.jobs()]
        return JSONResponse({"pulls": pulls}, headers=UNCACHED)

    @described(CANCEL)
    async def cancel(self, request: Request) -> Response:
        """Cancel a pull, or forget one that is over.

        What has come is kept for the next pull of the same file.
        """
        self._check_allowed()
        return JSONResponse(
            document_of(self._pulls.remove(request.path_params["id"])), headers=UNCACHED
        )

    def _check_allowed(self) -> None:
        """Refuse all, where the operator has not said that clients may write to the disk.

        Raises:
            PullOffError: it is so.
        """
        if not self._own.clients:
            raise PullOffError(
                "clients may not pull models here; whoever runs the server may set pull.clients,"
                " or run `modeld pull`"
            )

    def _check_source(self, reference: Reference) -> None:
        if isinstance(reference, UrlReference) and not any(
            is_below(reference.url, each) for each in self._own.client_urls
        ):
            raise PullOffError(
                "clients may not pull from this URL; whoever runs the server may name its beginning"
                " in pull.client_urls",
                field="source",
            )
