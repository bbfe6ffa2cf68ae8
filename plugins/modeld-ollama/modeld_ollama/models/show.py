# SPDX-License-Identifier: GPL-3.0-only
"""``POST /api/show``: what is known of one model."""

from __future__ import annotations

from typing import Annotated, Any, Final

from pydantic import BaseModel, Field

from modeld.dialects import JSON, BodyRoute, Call, WholeResponse
from modeld.dialects.body import Strict, refused
from modeld.dialects.documents import BODY_ERRORS, Content, ResponseDoc
from modeld.errors import InvalidModelError, ModelNotFoundError
from modeld.values import ModelSpec
from modeld_ollama.models.catalogue import Catalogue
from modeld_ollama.models.details import (
    EXAMPLE,
    EXAMPLE_TIME,
    OllamaDetails,
    capabilities_of,
    details_of,
    modified_at,
)
from modeld_ollama.responses import MODEL

LONG_ARRAY: Final = 5
"""Arrays with more elements than this are sent only where all is wanted."""

_NOT_HERE: Final = "is not served: it would change nothing but what is shown"


class OllamaShowBody(Strict):
    """Which model is to be shown."""

    model: str | None = Field(
        None, max_length=512, description="id from GET /models, or a name of it"
    )
    name: str | None = Field(None, max_length=512, description="the older name of `model`")
    verbose: bool | None = Field(None, description="true sends long arrays of the header too")
    system: Annotated[None, refused(_NOT_HERE, but=("",))] = None
    template: Annotated[None, refused(_NOT_HERE, but=("",))] = None
    options: Annotated[None, refused(_NOT_HERE, but=({},))] = None


class OllamaModelInfo(BaseModel):
    """What is known of a model. Its chat template and its vocabulary are read when it is loaded."""

    license: str | None = Field(None, description="as its header says it; absent if it does not")
    modelfile: str = Field(description="where its file is, in the form of a Modelfile")
    parameters: str | None = Field(
        None, description="`num_ctx` and the model's context, where that is known"
    )
    details: OllamaDetails
    model_info: dict[str, Any] = Field(
        description="what its header says, without its name and its vocabulary"
    )
    capabilities: list[str] = Field(description="what it can be asked for, in Ollama's words")
    modified_at: str = Field(description="when its file was last changed")


def show_route(catalogue: Catalogue) -> BodyRoute[OllamaShowBody]:
    """Return the route."""
    example = {
        "modelfile": f"FROM /home/me/models/{MODEL}\n",
        "parameters": "num_ctx                        4096",
        "details": EXAMPLE,
        "model_info": {"general.architecture": "llama", "llama.context_length": 8192},
        "capabilities": ["completion", "tools", "thinking"],
        "modified_at": EXAMPLE_TIME,
    }

    async def respond(body: OllamaShowBody, call: Call) -> WholeResponse:
        spec = await catalogue.known(body.model or body.name, call)
        return WholeResponse.of(shown(spec, verbose=body.verbose is True))

    content = Content(media_type=JSON, model=OllamaModelInfo, example=example)
    return BodyRoute(
        path="/api/show",
        name="ollama_show",
        summary="Show one model, in Ollama's form",
        body=OllamaShowBody,
        body_examples={"one": {"model": MODEL}},
        respond=respond,
        responses=(ResponseDoc(status=200, description="The response", contents=(content,)),),
        raises=(*BODY_ERRORS, ModelNotFoundError, InvalidModelError),
    )


def shown(spec: ModelSpec, *, verbose: bool) -> dict[str, Any]:
    """Return what :class:`OllamaModelInfo` describes."""
    info = {
        key: [] if isinstance(value, list) and len(value) > LONG_ARRAY and not verbose else value
        for key, value in spec.metadata.items()
        if key != "general.name"
    }
    said = {
        "modelfile": f"FROM {spec.path}\n",
        "details": details_of(spec),
        "model_info": info,
        "capabilities": capabilities_of(spec),
        "modified_at": modified_at(spec),
    }
    if license_text := spec.metadata.get("general.license"):
        said["license"] = str(license_text)
    if spec.context is not None:
        said["parameters"] = f"{'num_ctx':<30} {spec.context}"
    return said
