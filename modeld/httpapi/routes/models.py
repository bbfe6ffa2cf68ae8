# SPDX-License-Identifier: GPL-3.0-only
"""``/models``: what can be served, and loading and unloading by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from modeld.dialects.body import KeepAlive, Strict
from modeld.dialects.documents import BODY_ERRORS, LOAD_ERRORS, Content, Parameter, ResponseDoc
from modeld.errors import (
    BackendUnavailableError,
    DrainingError,
    InvalidModelError,
    InvalidRequestError,
    LoadFailedError,
    ModelNotFoundError,
    NotFoundError,
    WorkerCrashedError,
)
from modeld.httpapi.exchange.disconnect import run_guarded, watch_client
from modeld.httpapi.exchange.exchange import exchange_of
from modeld.httpapi.exchange.reading.json_body import read_no_body, read_optional_body
from modeld.httpapi.exchange.reading.query import whole_number
from modeld.httpapi.exchange.writing.conditional import (
    IF_NONE_MATCH,
    TAGGED,
    UNCHANGED,
    conditional,
    tag_of,
)
from modeld.httpapi.exchange.writing.json_response import LongDocument, document
from modeld.httpapi.routes.model_list import (
    EXAMPLE,
    LIST_EXAMPLE,
    MOST,
    ModelList,
    page_of,
    written,
)
from modeld.httpapi.routes.operations import Operation
from modeld.interfaces import ModelService
from modeld.values import ModelSpec


class LoadBody(Strict):
    """How a model is to be loaded; all of it may be left out."""

    keep_alive_s: KeepAlive | None = Field(
        None,
        description="how many seconds the model stays in memory unused, or forever; without it as"
        " the last request said, at first max_idle_s of the settings",
    )
    fit: bool | None = Field(
        None,
        description="false refuses the load where the model can be had only with less than it is"
        " configured for, because it would never fit otherwise",
    )


class ModelState(BaseModel):
    """Where a model is after it was loaded or unloaded."""

    model: str
    state: Literal["ready", "absent"]


class ModelPin(BaseModel):
    """Whether a model stays in memory when others need room."""

    model: str
    pinned: bool


PIN_ERRORS = (
    ModelNotFoundError,
    InvalidModelError,
    BackendUnavailableError,
    LoadFailedError,
    DrainingError,
)
_ID = Parameter(
    name="id",
    location="path",
    description="id from GET /models, percent-encoded; its slashes may stay as they are",
    example="SmolLM2-135M-Instruct.Q4_1.gguf",
)

_PAGE = (
    Parameter(
        name="limit",
        location="query",
        description=f"most models to list; all unless set, {MOST} with `after` alone",
        between=(1, MOST),
        example="100",
    ),
    Parameter(
        name="after",
        location="query",
        description="list only models whose ids come after this one: `next` of the page before",
        example="SmolLM2-135M-Instruct.Q4_1.gguf",
    ),
)


class Models:
    """Serves what is under ``/models``."""

    def __init__(self, service: ModelService) -> None:
        self._service = service
        self._listed: tuple[Sequence[ModelSpec] | None, Sequence[bytes], str] = (None, (), "")

    async def list(self, request: Request) -> Response:
        """Respond with the models as they were found last, all of them or a page."""
        query = request.query_params
        limit, after = whole_number(query, "limit", 1, MOST), query.get("after")
        models = await self._service.models()
        if limit is None and after is None:
            return conditional(request, *await self._written(models))
        page, following = page_of(models, limit or MOST, after or "")
        pieces = await written(page, following)
        return conditional(request, pieces, tag_of(pieces))

    async def refresh(self, request: Request) -> Response:
        """Respond with all models as they are found now."""
        await read_no_body(request.scope, request.receive)
        pieces, _ = await self._written(await self._service.refresh())
        return LongDocument(pieces)

    async def _written(self, models: Sequence[ModelSpec]) -> tuple[Sequence[bytes], str]:
        """Return the list as it is sent, written once: it is the same object until it changes.

        It is held here, so no other list can come to be at its address.
        """
        listed, pieces, tag = self._listed
        if listed is not models or not isinstance(models, tuple):
            pieces = await written(models)
            tag = tag_of(pieces)
            self._listed = models, pieces, tag
        return pieces, tag

    async def load(self, request: Request) -> Response:
        """Bring a model into memory, and give up waiting for a client that leaves."""
        model = _named(request)
        body = await read_optional_body(LoadBody, request.scope, request.receive)
        load = self._service.load(model, keep_alive_s=body.keep_alive_s, fit=body.fit is not False)
        await run_guarded(load, watch_client(request.receive))
        return document(ModelState(model=model, state="ready"))

    async def unload(self, request: Request) -> Response:
        """Take a model out of memory, also when the client leaves: that frees, not takes."""
        model = await _model(request)
        await self._service.unload(model)
        return document(ModelState(model=model, state="absent"))

    async def pin(self, request: Request) -> Response:
        """Keep a model in memory when others need room."""
        return await self._pinned(request, pinned=True)

    async def unpin(self, request: Request) -> Response:
        """Let a model make room again."""
        return await self._pinned(request, pinned=False)

    async def _pinned(self, request: Request, *, pinned: bool) -> Response:
        model = await _model(request)
        await self._service.pin(model, pinned=pinned)
        return document(ModelPin(model=model, pinned=pinned))

    def operations(self) -> tuple[Operation, ...]:
        """Return the rows of the route table."""
        return (*self._listings(), *self._moves(), *self._pins())

    def _listings(self) -> tuple[Operation, ...]:
        found = _json_response("The models", ModelList, LIST_EXAMPLE)
        listed = replace(found, headers=TAGGED)
        return (
            Operation(
                method="GET",
                path="/models",
                endpoint=self.list,
                name="list_models",
                tag="models",
                summary="List the models",
                parameters=(*_PAGE, IF_NONE_MATCH),
                responses=(listed, UNCHANGED),
                raises=(InvalidRequestError,),
            ),
            Operation(
                method="POST",
                path="/models/refresh",
                endpoint=self.refresh,
                name="refresh_models",
                tag="models",
                summary="Look for models again and list them",
                responses=(found,),
                raises=BODY_ERRORS,
                changes_state=True,
            ),
        )

    def _moves(self) -> tuple[Operation, ...]:
        loaded = _json_response(
            "It is ready", ModelState, {"model": EXAMPLE["id"], "state": "ready"}
        )
        absent = _json_response(
            "It is gone", ModelState, {"model": EXAMPLE["id"], "state": "absent"}
        )
        return (
            Operation(
                method="POST",
                path="/models/{id}/load",
                endpoint=self.load,
                name="load_model",
                tag="models",
                summary="Load a model and wait until it is ready",
                parameters=(_ID,),
                body=LoadBody,
                body_optional=True,
                body_examples={"as configured": {"fit": False, "keep_alive_s": 3600}},
                responses=(loaded,),
                raises=(*BODY_ERRORS, *LOAD_ERRORS, NotFoundError, WorkerCrashedError),
                changes_state=True,
            ),
            Operation(
                method="POST",
                path="/models/{id}/unload",
                endpoint=self.unload,
                name="unload_model",
                tag="models",
                summary="Unload a model once its running requests are done",
                parameters=(_ID,),
                responses=(absent,),
                raises=(*BODY_ERRORS, ModelNotFoundError, NotFoundError, DrainingError),
                changes_state=True,
            ),
        )

    def _pins(self) -> tuple[Operation, ...]:
        verbs = (
            ("pin", self.pin, PIN_ERRORS, "Keep a model in memory when others need room"),
            ("unpin", self.unpin, (ModelNotFoundError,), "Let a model make room again"),
        )
        return tuple(
            Operation(
                method="POST",
                path=f"/models/{{id}}/{verb}",
                endpoint=endpoint,
                name=f"{verb}_model",
                tag="models",
                summary=summary,
                parameters=(_ID,),
                responses=(
                    _json_response(
                        "It is so from now on",
                        ModelPin,
                        {"model": EXAMPLE["id"], "pinned": verb == "pin"},
                    ),
                ),
                raises=(*BODY_ERRORS, *errors, NotFoundError),
                changes_state=True,
            )
            for verb, endpoint, errors, summary in verbs
        )


async def _model(request: Request) -> str:
    """Return the model that the path names, once it is certain that there is nothing beside it."""
    model = _named(request)
    await read_no_body(request.scope, request.receive)
    return model


def _named(request: Request) -> str:
    model: str = request.path_params["id"]
    exchange_of(request.scope).model = model
    return model


def _json_response(description: str, model: type[BaseModel], example: object) -> ResponseDoc:
    content = Content(media_type="application/json", model=model, example=example)
    return ResponseDoc(status=200, description=description, contents=(content,))
