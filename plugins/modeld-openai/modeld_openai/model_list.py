# SPDX-License-Identifier: GPL-3.0-only
"""``GET /v1/models``: the models that can be asked. Nothing here loads one."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from modeld.capabilities import Capability
from modeld.dialects import JSON, Call, PlainRoute, WholeResponse, listing
from modeld.dialects.documents import Content, Parameter, ResponseDoc
from modeld.errors import InvalidModelError, ModelNotFoundError
from modeld.values import ModelSpec

_MODELS_PER_TURN = 512
_EXAMPLE = {
    "id": "SmolLM2-135M-Instruct.Q4_1.gguf",
    "object": "model",
    "created": 1764547200,
    "owned_by": "modeld",
    "capabilities": ["chat", "logprobs", "text", "tokenize", "tools"],
}
_ID = Parameter(
    name="id",
    location="path",
    description="id from GET /v1/models; its slashes may stay as they are",
    example="SmolLM2-135M-Instruct.Q4_1.gguf",
)


class OpenAIModel(BaseModel):
    """One model."""

    id: str = Field(description="what requests name the model by")
    object: Literal["model"]
    created: int = Field(description="when its file was last changed, in seconds since 1970")
    owned_by: str = Field(description="always modeld")
    capabilities: list[Capability] = Field(
        description="what requests may ask it for, an extension of this API"
    )


class OpenAIModelList(BaseModel):
    """All models that can be asked."""

    object: Literal["list"]
    data: list[OpenAIModel]


def model_routes() -> tuple[PlainRoute, ...]:
    """Return the route of the list and that of one model."""
    return (
        PlainRoute(
            path="/v1/models",
            name="openai_models",
            summary="List the models, in OpenAI's form",
            description="Models that cannot be used are left out; GET /models says why.",
            respond=_listed,
            responses=_described(OpenAIModelList, {"object": "list", "data": [_EXAMPLE]}),
        ),
        PlainRoute(
            path="/v1/models/{id}",
            name="openai_model",
            summary="Show one model, in OpenAI's form",
            respond=_shown,
            parameters=(_ID,),
            responses=_described(OpenAIModel, _EXAMPLE),
            raises=(ModelNotFoundError, InvalidModelError),
        ),
    )


async def _listed(call: Call) -> WholeResponse:
    models = await call.service.models()
    usable = (_item(spec) for spec in models if spec.problem is None)
    return await listing("data", usable, _MODELS_PER_TURN, {"object": "list"})


async def _shown(call: Call) -> WholeResponse:
    model = call.path["id"]
    spec = await call.service.known(model)
    if spec.problem is not None:
        raise InvalidModelError(f"model {model!r} cannot be used: {spec.problem}", field="model")
    return WholeResponse.of(_item(spec))


def _item(spec: ModelSpec) -> dict[str, object]:
    created = spec.stamp.mtime_ns // 10**9 if spec.stamp else 0
    item: dict[str, object] = {"id": spec.id, "object": "model", "created": created}
    return {**item, "owned_by": "modeld", "capabilities": spec.capabilities}


def _described(model: type[BaseModel], example: object) -> tuple[ResponseDoc]:
    content = Content(media_type=JSON, model=model, example=example)
    return (ResponseDoc(status=200, description="The response", contents=(content,)),)
