# SPDX-License-Identifier: GPL-3.0-only
"""The routes of pulls. Only a server imports this: it needs the web stack."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from modeld import Settings
from modeld_pull.body import document_of, read_body
from modeld_pull.errors import PullOffError
from modeld_pull.pulls import Pulls
from modeld_pull.reference import Reference, UrlReference, is_below, reference_of
from modeld_pull.settings import PullSettings
from modeld_pull.telling import UNCACHED, Following


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

    async def pull(self, request: Request) -> Response:
        """Bring a model into the models folder.

        From a repository of the hub, or from a URL that the settings allow. The models are looked
        for again before it says `done`, so the model can be used at once. A client that leaves
        cancels the pull, unless it is detached or others wait for it too; what has come is kept
        for the next one. The server refuses unless `pull.clients` is set.
        ---
        operationId: pull_model
        requestBody:
          required: true
          content:
            application/json:
              schema:
                type: object
                additionalProperties: false
                required: [source]
                properties:
                  source:
                    type: string
                    maxLength: 2048
                    description: OWNER/NAME, OWNER/NAME:FILE, or an http(s) URL
                  file:
                    type: string
                    maxLength: 2048
                    default: ''
                    description: path in the repository, or a quantisation such as Q4_K_M
                  revision:
                    type: string
                    maxLength: 2048
                    default: ''
                    description: branch, tag or commit; main unless set
                  sha256:
                    type: string
                    maxLength: 2048
                    default: ''
                    description: what the file must have; a URL needs it
                  stream:
                    type: boolean
                    default: false
                    description: send a line of JSON whenever something has come
                  detach:
                    type: boolean
                    default: false
                    description: go on when the client leaves; without `stream`, respond at once
              examples:
                one: {value: {source: owner/name-GGUF, file: Q4_K_M, stream: true}}
        responses:
          200:
            description: It is over; in a stream, how far it is
            content:
              application/json:
                schema: {type: object, description: as GET /models/pulls lists it}
                example: {id: '1', source: owner/name-GGUF, status: done}
              application/x-ndjson:
                schema: {type: object, description: one in each line, as GET /models/pulls lists it}
                example: |
                  {"id": "1", "source": "owner/name-GGUF", "status": "downloading"}
                  {"id": "1", "source": "owner/name-GGUF", "status": "done"}
          202:
            description: It goes on by itself
            content:
              application/json:
                schema: {type: object, description: as GET /models/pulls lists it}
                example: {id: '1', source: owner/name-GGUF, status: resolving}
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

    async def list(self, _request: Request) -> Response:
        """List the pulls: those that run, and the last that have ended.

        The last ones are few; older ones are forgotten.
        ---
        operationId: list_pulls
        responses:
          200:
            description: The pulls, the oldest first
            content:
              application/json:
                schema:
                  type: object
                  required: [pulls]
                  properties:
                    pulls:
                      type: array
                      items: {type: object, description: as DELETE of it responds}
                example: {pulls: []}
        """
        self._check_allowed()
        pulls = [document_of(job) for job in self._pulls.jobs()]
        return JSONResponse({"pulls": pulls}, headers=UNCACHED)

    async def cancel(self, request: Request) -> Response:
        """Cancel a pull, or forget one that is over.

        What has come is kept for the next pull of the same file.
        ---
        operationId: cancel_pull
        responses:
          200:
            description: The pull as it was
            content:
              application/json:
                schema:
                  type: object
                  required:
                    [id, source, status, file, completed_bytes, total_bytes, detail, models, error]
                  properties:
                    id: {type: string}
                    source: {type: string}
                    status:
                      type: string
                      enum: [resolving, verifying, downloading, waiting, done, failed, cancelled]
                    file: {type: string, description: which of its files it works on}
                    completed_bytes: {type: integer, description: of all its files}
                    total_bytes: {type: [integer, 'null'], description: of all, if known}
                    detail: {type: string, description: what it waits for}
                    models: {type: array, items: {type: string}, description: ids of what has come}
                    error: {type: [object, 'null'], description: why it failed}
                example:
                  id: '1'
                  source: owner/name-GGUF:Q4_K_M
                  status: downloading
                  file: name-Q4_K_M.gguf
                  completed_bytes: 1048576
                  total_bytes: 144811456
                  detail: ''
                  models: []
                  error: null
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
