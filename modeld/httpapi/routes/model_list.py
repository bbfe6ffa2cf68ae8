# SPDX-License-Identifier: GPL-3.0-only
"""The list of models as it is written: all with their problems, and the usable ones by name."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final, Literal

from pydantic import BaseModel, Field

from modeld.capabilities import Capability
from modeld.dialects import listing
from modeld.sizes import whole_mib
from modeld.values import Fit, ModelSpec

MOST: Final = 1000
"""No page lists more models."""

_MODELS_PER_TURN: Final = 512

EXAMPLE: Final = {
    "id": "SmolLM2-135M-Instruct.Q4_1.gguf",
    "name": "Smollm2 135M 8k Lc100K Mix1 Ep2",
    "path": "/home/me/models/SmolLM2-135M-Instruct.Q4_1.gguf",
    "quant": "Q4_1",
    "family": "llama",
    "size_bytes": 98362432,
    "context_length": 8192,
    "capabilities": ["chat", "logprobs", "text", "tokenize", "tools"],
    "names": [
        "SmolLM2-135M-Instruct.Q4_1",
        "SmolLM2-135M-Instruct",
        "SmolLM2-135M-Instruct:Q4_1",
    ],
    "need_mb": 318,
    "fit": "fits",
}
_NAMED = {
    "id": "SmolLM2-135M-Instruct.Q4_1.gguf",
    "object": "model",
    "created": 1764547200,
    "owned_by": "modeld",
}
_BROKEN = {
    "id": "broken.gguf",
    "name": "broken",
    "path": "/home/me/models/broken.gguf",
    "quant": "",
    "family": "",
    "size_bytes": 4,
    "problem": "the file begins with 'GGML', not with 'GGUF': it is no GGUF file",
}
LIST_EXAMPLE: Final = {"models": [EXAMPLE, _BROKEN], "object": "list", "data": [_NAMED]}


class ModelItem(BaseModel):
    """One model."""

    id: str = Field(description="what requests name the model by")
    name: str = Field(description="the name that the file gives itself, or the file's own name")
    path: str = Field(description="the file")
    quant: str = Field(description="quantisation; empty if unknown")
    family: str = Field(description="architecture; empty if unknown")
    size_bytes: int = Field(description="the size of all files of the model")
    context_length: int | None = Field(None, description="longest context it was trained for")
    capabilities: list[Capability] | None = Field(
        None, description="what requests may ask the model for; absent if it cannot be used"
    )
    need_mb: int | None = Field(
        None, description="what it needs in memory, in MiB, as estimated; absent if not known"
    )
    fit: Fit | None = Field(
        None,
        description="how that fits into the budget as large as it can be here: it fits, it fits"
        " alone, for it takes more than half, it fits reduced, with less than it is configured for,"
        " or never; absent if need_mb is",
    )
    gives_up: str | None = Field(
        None, description="what it goes without where it fits reduced; absent if it does not"
    )
    short_by_mb: int | None = Field(
        None, description="by how much the budget is too small for it; absent if it is not"
    )
    aliases: list[str] | None = Field(
        None, description="other names that requests may have for it; absent if there are none"
    )
    names: list[str] | None = Field(
        None,
        description="shorter names that mean this model alone, in any case; absent if there are"
        " none",
    )
    preset_of: str | None = Field(
        None, description="the id of the model that this is a preset of; absent if it is none"
    )
    projector: str | None = Field(
        None, description="the file that belongs to it for pictures and sound; absent if none does"
    )
    hosts: list[str] | None = Field(
        None, description="the hosts of a cluster that have its file; absent on one machine"
    )
    problem: str | None = Field(None, description="why the model cannot be used; absent if it can")


_WHERE_SAID: Final = ("gives_up", "aliases", "names", "preset_of", "projector", "hosts", "problem")
"""What an item has only where there is something to say."""


class ModelName(BaseModel):
    """A model that can be used, as programs for OpenAI's API read it."""

    id: str = Field(description="what requests name the model by")
    object: Literal["model"]
    created: int = Field(description="when its file was last changed, in seconds since 1970")
    owned_by: Literal["modeld"]


class ModelList(BaseModel):
    """All known models, the unusable ones with their problem.

    ``data`` has the usable ones once more, for programs that were made for OpenAI's API and ask
    without the ``/v1`` that their routes have.
    """

    models: list[ModelItem]
    next: str | None = Field(
        None, description="the page goes on after this id, the last one on it; absent at the end"
    )
    object: Literal["list"]
    data: list[ModelName]


def page_of(
    models: Sequence[ModelSpec], limit: int, after: str
) -> tuple[Sequence[ModelSpec], str | None]:
    """Return so many models whose ids come after one, and the last id if there are more."""
    ordered = sorted(models, key=lambda spec: spec.id)
    start = bisect_right(ordered, after, key=lambda spec: spec.id)
    page = ordered[start : start + limit]
    return page, page[-1].id if start + limit < len(ordered) else None


async def written(models: Sequence[ModelSpec], following: str | None = None) -> list[bytes]:
    """Return both lists as one document; ``following`` is after which id there are more."""
    known = await listing("models", map(item_of, models), _MODELS_PER_TURN, {})
    usable = (_name(spec) for spec in models if spec.problem is None)
    others = {"object": "list"} if following is None else {"next": following, "object": "list"}
    named = await listing("data", usable, _MODELS_PER_TURN, others)
    return [*known.pieces[:-1], b"],", named.pieces[0][1:], *named.pieces[1:]]


def _name(spec: ModelSpec) -> dict[str, object]:
    created = spec.stamp.mtime_ns // 10**9 if spec.stamp else 0
    return {"id": spec.id, "object": "model", "created": created, "owned_by": "modeld"}


def item_of(spec: ModelSpec) -> dict[str, object]:
    """Return what :class:`ModelItem` describes, at a tenth of the cost of making one."""
    item: dict[str, object] = {
        "id": spec.id,
        "name": spec.name,
        "path": spec.path,
        "quant": spec.quant,
        "family": spec.family,
        "size_bytes": spec.size_bytes,
    }
    if spec.context_length is not None:
        item["context_length"] = spec.context_length
    if spec.capabilities:
        item["capabilities"] = spec.capabilities
    if spec.need_bytes is not None and spec.fit is not None:
        item["need_mb"] = whole_mib(spec.need_bytes)
        item["fit"] = spec.fit
    if spec.short_by_bytes:
        item["short_by_mb"] = whole_mib(spec.short_by_bytes)
    for name in _WHERE_SAID:
        if said := getattr(spec, name):
            item[name] = said
    return item
