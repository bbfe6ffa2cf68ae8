# SPDX-License-Identifier: GPL-3.0-only
"""``GET /api/tags`` and ``GET /api/ps``: the models that can be used, and those in memory."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from pydantic import BaseModel, Field

from modeld.dialects import JSON, Call, PlainRoute, WholeResponse, listing
from modeld.dialects.documents import Content, ResponseDoc
from modeld.status import InstanceState, InstanceStatus
from modeld.values import ModelSpec
from modeld_ollama.models.details import (
    EXAMPLE,
    EXAMPLE_DIGEST,
    EXAMPLE_TIME,
    OllamaDetails,
    capabilities_of,
    details_of,
    digest_of,
    modified_at,
)
from modeld_ollama.responses import MODEL
from modeld_ollama.timing import nanoseconds, written

FOREVER_S: Final = 2**63 / 10**9
"""How far away Ollama writes the end of what has none: some 292 years."""

_MODELS_PER_TURN: Final = 256
_IN_MEMORY: Final = frozenset({InstanceState.READY, InstanceState.DRAINING})


class OllamaModel(BaseModel):
    """One model that can be used."""

    name: str = Field(description="what requests name the model by")
    model: str = Field(description="the same")
    modified_at: str = Field(description="when its file was last changed")
    size: int = Field(description="the size of all its files, in bytes")
    digest: str = Field(description="the same as long as its file is; no digest of its content")
    details: OllamaDetails
    capabilities: list[str] = Field(description="what it can be asked for")


class OllamaModelList(BaseModel):
    """All models that can be used."""

    models: list[OllamaModel]


class OllamaRunningModel(BaseModel):
    """One model in memory."""

    name: str = Field(description="what requests name the model by")
    model: str = Field(description="the same")
    size: int = Field(description="what it holds in memory, in bytes")
    digest: str = Field(description="as in GET /api/tags")
    details: OllamaDetails
    expires_at: str = Field(description="when it leaves memory unless it is used; else far away")
    size_vram: int = Field(description="always 0: where its memory lies is not told apart")
    context_length: int | None = Field(
        None, description="the most tokens that one request may have; absent if unknown"
    )


class OllamaRunningList(BaseModel):
    """All models in memory."""

    models: list[OllamaRunningModel]


def listing_routes() -> tuple[PlainRoute, PlainRoute]:
    """Return both routes."""
    common = {"name": MODEL, "model": MODEL, "digest": EXAMPLE_DIGEST, "details": EXAMPLE}
    usable = {"modified_at": EXAMPLE_TIME, "size": 98362432, "capabilities": ["completion"]}
    running = {"size": 251658240, "size_vram": 0, "expires_at": EXAMPLE_TIME}
    running["context_length"] = 4096
    return (
        PlainRoute(
            path="/api/tags",
            name="ollama_tags",
            summary="List the models, in Ollama's form",
            description="Models that cannot be used are left out; GET /models says why.",
            respond=_usable,
            responses=(_described(OllamaModelList, {"models": [common | usable]}),),
        ),
        PlainRoute(
            path="/api/ps",
            name="ollama_ps",
            summary="List the models in memory, in Ollama's form",
            respond=_running,
            responses=(_described(OllamaRunningList, {"models": [common | running]}),),
        ),
    )


async def _usable(call: Call) -> WholeResponse:
    models = (spec for spec in await call.service.models() if spec.problem is None)
    return await listing("models", map(_usable_item, models), _MODELS_PER_TURN, {})


async def _running(call: Call) -> WholeResponse:
    specs = {spec.id: spec for spec in await call.service.models()}
    status = await call.service.status()
    now_ns = time.time_ns()
    running = [
        _running_item(each, specs.get(each.model_id), now_ns)
        for each in status.instances
        if each.state in _IN_MEMORY
    ]
    return WholeResponse.of({"models": running})


def _usable_item(spec: ModelSpec) -> dict[str, Any]:
    return {
        **_common(spec),
        "modified_at": modified_at(spec),
        "size": spec.size_bytes,
        "capabilities": capabilities_of(spec),
    }


def _running_item(
    instance: InstanceStatus, spec: ModelSpec | None, now_ns: int
) -> Mapping[str, Any]:
    """Return a model in memory; its file may be gone."""
    known = spec or ModelSpec(id=instance.model_id, name="", path="", format="")
    left_s = FOREVER_S if instance.expires_in_s is None else instance.expires_in_s
    item = {
        **_common(known),
        "size": instance.held_bytes,
        "size_vram": 0,
        "expires_at": written(now_ns + nanoseconds(left_s)),
    }
    return item if known.context is None else {**item, "context_length": known.context}


def _common(spec: ModelSpec) -> dict[str, Any]:
    return {
        "name": spec.id,
        "model": spec.id,
        "digest": digest_of(spec),
        "details": details_of(spec),
    }


def _described(model: type[BaseModel], example: object) -> ResponseDoc:
    content = Content(media_type=JSON, model=model, example=example)
    return ResponseDoc(status=200, description="The response", contents=(content,))
