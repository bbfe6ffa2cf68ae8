# SPDX-License-Identifier: GPL-3.0-only
"""Ollama's routes for its library. A model that is there is pulled; modeld keeps no library."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Literal

import msgspec
from pydantic import BaseModel, Field

from modeld.dialects import JSON, BodyRoute, Call, PlainRoute, WholeResponse
from modeld.dialects.body import Strict
from modeld.dialects.documents import BODY_ERRORS, Content, Parameter, ResponseDoc
from modeld.errors import InvalidModelError, ModelNotFoundError, NotSupportedError
from modeld_ollama.models.catalogue import Catalogue
from modeld_ollama.responses import MODEL
from modeld_ollama.text.encoders import NDJSON

API_VERSION: Final = "0.32.15"
"""The release of Ollama whose API this is: clients look at it before they use what is newer."""

RUNNING: Final = "Ollama is running"
"""What clients look for at the root before they ask for anything else."""

_TEXT: Final = "text/plain"
_ADVICE: Final = (
    "nothing is downloaded by this API; `modeld pull` brings a model, or put its GGUF file into the"
    " models folder"
)
_REFUSED: Final[tuple[tuple[Literal["POST", "DELETE"], str, str, str], ...]] = (
    (
        "POST",
        "create",
        "Make a model of another",
        "models are files in the models folder, and their options stand in the settings",
    ),
    ("POST", "copy", "Give a model another name", "a link in the models folder gives it one"),
    ("POST", "push", "Upload a model", "nothing is uploaded"),
    ("DELETE", "delete", "Delete a model", "remove its file from the models folder"),
    ("POST", "blobs/{digest}", "Upload a file", "put it into the models folder"),
)
_DIGEST: Final = Parameter(
    name="digest", location="path", description="digest of the file", example="sha256:0b6a"
)


class OllamaPullBody(Strict):
    """Which model is to be there."""

    model: str | None = Field(
        None, max_length=512, description="id from GET /models, or a name of it"
    )
    name: str | None = Field(None, max_length=512, description="the older name of `model`")
    stream: bool | None = Field(
        None, description="true (the default) sends a line for each step; false one object"
    )
    insecure: bool | None = Field(None, description="taken and without effect: nothing is fetched")
    username: str | None = Field(None, description="taken and without effect: nothing is fetched")
    password: str | None = Field(None, description="taken and without effect: nothing is fetched")


class OllamaProgress(BaseModel):
    """How far it is."""

    status: str


class OllamaVersion(BaseModel):
    """Which release of Ollama has the same API."""

    version: str


def pull_route(catalogue: Catalogue) -> BodyRoute[OllamaPullBody]:
    """Return the route that brings a model, if it is there already."""

    async def respond(body: OllamaPullBody, call: Call) -> WholeResponse:
        try:
            await catalogue.known(body.model or body.name, call)
        except ModelNotFoundError as exc:
            raise ModelNotFoundError(f"{exc.message}; {_ADVICE}", field="model") from exc
        steps = ("pulling manifest", "success") if body.stream is not False else ("success",)
        lines = [msgspec.json.encode({"status": each}) + b"\n" for each in steps]
        return WholeResponse(pieces=lines, media_type=JSON if body.stream is False else NDJSON)

    lines = '{"status": "pulling manifest"}\n{"status": "success"}\n'
    return BodyRoute(
        path="/api/pull",
        name="ollama_pull",
        summary="See that a model is there, in Ollama's form",
        description="Nothing is downloaded: a model that is not there is refused.",
        body=OllamaPullBody,
        body_examples={"one": {"model": MODEL}},
        respond=respond,
        responses=(
            ResponseDoc(
                status=200,
                description="The model is there",
                contents=(
                    Content(media_type=NDJSON, model=OllamaProgress, example=lines),
                    Content(media_type=JSON, model=OllamaProgress, example={"status": "success"}),
                ),
            ),
        ),
        raises=(*BODY_ERRORS, ModelNotFoundError, InvalidModelError),
    )


def refused_routes() -> tuple[PlainRoute, ...]:
    """Return the routes of what modeld does not do, which say what to do instead."""
    return tuple(
        PlainRoute(
            path=f"/api/{path}",
            method=method,
            name=f"ollama_{path.partition('/')[0]}",
            summary=f"{summary}: refused",
            parameters=(_DIGEST,) if "{" in path else (),
            respond=_refusal(f"{path.partition('/')[0]} is not served: {advice}"),
            raises=(NotSupportedError,),
        )
        for method, path, summary, advice in _REFUSED
    )


def version_route() -> PlainRoute:
    """Return the route that tells which release of Ollama has the same API."""
    example = {"version": API_VERSION}

    async def respond(_call: Call) -> WholeResponse:
        return WholeResponse.of(example)

    content = Content(media_type=JSON, model=OllamaVersion, example=example)
    return PlainRoute(
        path="/api/version",
        name="ollama_version",
        summary="Tell which release of Ollama has this API",
        respond=respond,
        responses=(ResponseDoc(status=200, description="The response", contents=(content,)),),
    )


def running_route() -> PlainRoute:
    """Return the route that says that a server with this API runs."""

    async def respond(_call: Call) -> WholeResponse:
        return WholeResponse(pieces=(RUNNING.encode(),), media_type=_TEXT)

    content = Content(media_type=_TEXT, schema={"const": RUNNING}, example=RUNNING)
    return PlainRoute(
        path="/",
        name="ollama_running",
        summary="Say that the server runs, in Ollama's words",
        description="Where a plugin has a page at this address, browsers get the page.",
        respond=respond,
        responses=(ResponseDoc(status=200, description="The server runs", contents=(content,)),),
    )


def _refusal(message: str) -> Callable[[Call], Awaitable[WholeResponse]]:
    async def respond(_call: Call) -> WholeResponse:
        raise NotSupportedError(message)

    return respond
