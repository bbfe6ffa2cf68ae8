# SPDX-License-Identifier: GPL-3.0-only
"""``/models``: what can be served, and loading and unloading by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from modeld.errors import (
    BackendUnavailableError,
    DrainingError,
    InvalidModelError,
    LoadFailedError,
    ModelNotFoundError,
    NotFoundError,
    WorkerCrashedError,
)
from modeld.httpapi.answers import document
from modeld.httpapi.exchange import exchange_of
from modeld.httpapi.failures import LOAD_ERRORS
from modeld.httpapi.operations import Answer, Content, Operation, Parameter
from modeld.httpapi.presence import run_guarded, watch_client
from modeld.interfaces import ModelService
from modeld.values import ModelSpec


class ModelItem(BaseModel):
    """One model."""

    id: str = Field(description="what requests name the model by")
    name: str = Field(description="the name that the file gives itself, or the file's own name")
    path: str = Field(description="the file")
    quant: str = Field(description="quantisation; empty if unknown")
    family: str = Field(description="architecture; empty if unknown")
    size_bytes: int = Field(description="the size of all files of the model")
    context_length: int | None = Field(None, description="longest context it was trained for")
    problem: str | None = Field(None, description="why the model cannot be used; absent if it can")


class ModelList(BaseModel):
    """All known models, the unusable ones with their problem."""

    models: list[ModelItem]


class ModelState(BaseModel):
    """Where a model is after it was loaded or unloaded."""

    model: str
    state: Literal["ready", "absent"]


class ModelPin(BaseModel):
    """Whether a model stays in memory when others need room."""

    model: str
    pinned: bool


_EXAMPLE = {
    "id": "SmolLM2-135M-Instruct.Q4_1.gguf",
    "name": "Smollm2 135M 8k Lc100K Mix1 Ep2",
    "path": "/home/me/models/SmolLM2-135M-Instruct.Q4_1.gguf",
    "quant": "Q4_1",
    "family": "llama",
    "size_bytes": 98362432,
    "context_length": 8192,
}
_BROKEN = {
    "id": "broken.gguf",
    "name": "broken",
    "path": "/home/me/models/broken.gguf",
    "quant": "",
    "family": "",
    "size_bytes": 4,
    "problem": "the file begins with b'GGML', not with b'GGUF': it is no GGUF file",
}
PIN_ERRORS = (
    ModelNotFoundError,
    InvalidModelError,
    BackendUnavailableError,
    LoadFailedError,
    DrainingError,
)
_ID = Parameter(
    name="id",
    place="path",
    description="id from GET /models, percent-encoded",
    example="SmolLM2-135M-Instruct.Q4_1.gguf",
)


class Models:
    """Serves what is under ``/models``."""

    def __init__(self, service: ModelService) -> None:
        self._service = service

    async def list(self, _request: Request) -> Response:
        """All models as they were found last."""
        return _listing(await self._service.models())

    async def refresh(self, _request: Request) -> Response:
        """All models as they are found now."""
        return _listing(await self._service.refresh())

    async def load(self, request: Request) -> Response:
        """Bring a model into memory; a client that leaves does not wait any longer."""
        model = _model(request)
        await run_guarded(self._service.load(model), watch_client(request.receive))
        return document(ModelState(model=model, state="ready"))

    async def unload(self, request: Request) -> Response:
        """Take a model out of memory. This goes on when the client leaves: it frees, not takes."""
        model = _model(request)
        await self._service.unload(model)
        return document(ModelState(model=model, state="absent"))

    async def pin(self, request: Request) -> Response:
        """Keep a model in memory when others need room."""
        return await self._pinned(request, pinned=True)

    async def unpin(self, request: Request) -> Response:
        """Let a model make room again."""
        return await self._pinned(request, pinned=False)

    async def _pinned(self, request: Request, *, pinned: bool) -> Response:
        model = _model(request)
        await self._service.pin(model, pinned=pinned)
        return document(ModelPin(model=model, pinned=pinned))

    def operations(self) -> tuple[Operation, ...]:
        """The rows of the route table."""
        return (*self._listings(), *self._moves(), *self._pins())

    def _listings(self) -> tuple[Operation, ...]:
        listing = _answer("The models", ModelList, {"models": [_EXAMPLE, _BROKEN]})
        return (
            Operation(
                method="GET",
                path="/models",
                endpoint=self.list,
                name="list_models",
                tag="models",
                summary="List the models",
                answers=(listing,),
            ),
            Operation(
                method="POST",
                path="/models/refresh",
                endpoint=self.refresh,
                name="refresh_models",
                tag="models",
                summary="Look for models again and list them",
                answers=(listing,),
            ),
        )

    def _moves(self) -> tuple[Operation, ...]:
        loaded = _answer("It is ready", ModelState, {"model": _EXAMPLE["id"], "state": "ready"})
        absent = _answer("It is gone", ModelState, {"model": _EXAMPLE["id"], "state": "absent"})
        return (
            Operation(
                method="POST",
                path="/models/{id}/load",
                endpoint=self.load,
                name="load_model",
                tag="models",
                summary="Load a model and wait until it is ready",
                parameters=(_ID,),
                answers=(loaded,),
                raises=(*LOAD_ERRORS, NotFoundError, WorkerCrashedError),
            ),
            Operation(
                method="POST",
                path="/models/{id}/unload",
                endpoint=self.unload,
                name="unload_model",
                tag="models",
                summary="Unload a model once its running requests are done",
                parameters=(_ID,),
                answers=(absent,),
                raises=(ModelNotFoundError, NotFoundError, DrainingError),
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
                answers=(
                    _answer(
                        "It is so from now on",
                        ModelPin,
                        {"model": _EXAMPLE["id"], "pinned": verb == "pin"},
                    ),
                ),
                raises=(*errors, NotFoundError),
            )
            for verb, endpoint, errors, summary in verbs
        )


def _model(request: Request) -> str:
    model: str = request.path_params["id"]
    exchange_of(request.scope).model = model
    return model


def _answer(description: str, model: type[BaseModel], example: object) -> Answer:
    content = Content(media_type="application/json", model=model, example=example)
    return Answer(status=200, description=description, contents=(content,))


def _listing(models: Sequence[ModelSpec]) -> Response:
    return document(ModelList(models=[_item(spec) for spec in models]))


def _item(spec: ModelSpec) -> ModelItem:
    return ModelItem(
        id=spec.id,
        name=spec.name,
        path=spec.path,
        quant=spec.quant,
        family=spec.family,
        size_bytes=spec.size_bytes,
        context_length=spec.context_length,
        problem=spec.problem,
    )
