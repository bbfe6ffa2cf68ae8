# SPDX-License-Identifier: GPL-3.0-only
"""What Ollama tells of a model: its digest, its details, what it can be asked for."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from pydantic import BaseModel, Field

from modeld.capabilities import Capability
from modeld.values import ModelSpec
from modeld_ollama.timing import written

_CAPABILITIES: Final = {
    Capability.TEXT: "completion",
    Capability.SUFFIX: "insert",
    Capability.TOOLS: "tools",
    Capability.REASONING: "thinking",
    Capability.VISION: "vision",
    Capability.AUDIO: "audio",
    Capability.EMBED: "embedding",
}

EXAMPLE: Final[dict[str, Any]] = {
    "parent_model": "",
    "format": "gguf",
    "family": "llama",
    "families": ["llama"],
    "parameter_size": "135M",
    "quantization_level": "Q4_1",
}
EXAMPLE_TIME: Final = "2025-12-01T12:00:00.123456Z"
EXAMPLE_DIGEST: Final = "0b6a" * 16


class OllamaDetails(BaseModel):
    """What kind of model it is."""

    parent_model: str = Field(description="always empty")
    format: str = Field(description="format of its file")
    family: str = Field(description="architecture; empty if unknown")
    families: list[str] = Field(description="the same as a list")
    parameter_size: str = Field(description="as its header says it; empty if it does not")
    quantization_level: str = Field(description="quantisation; empty if unknown")


def details_of(spec: ModelSpec) -> dict[str, Any]:
    """Return what :class:`OllamaDetails` describes."""
    return {
        "parent_model": "",
        "format": spec.format,
        "family": spec.family,
        "families": [spec.family] if spec.family else [],
        "parameter_size": str(spec.metadata.get("general.size_label", "")),
        "quantization_level": spec.quant,
    }


def capabilities_of(spec: ModelSpec) -> list[str]:
    """Return what a model can be asked for, in Ollama's words."""
    return [word for each, word in _CAPABILITIES.items() if each in spec.capabilities]


def digest_of(spec: ModelSpec) -> str:
    """Return what is the same as long as the model's file is.

    Ollama has the SHA-256 of the content there, for which the whole file would have to be read.
    """
    stamp = spec.stamp
    said = [spec.id, spec.path]
    if stamp is not None:
        said += map(str, (stamp.device, stamp.inode, stamp.size_bytes, stamp.mtime_ns))
    return hashlib.sha256("\0".join(said).encode(errors="replace")).hexdigest()


def modified_at(spec: ModelSpec) -> str:
    """Return when the model's file was last changed; the beginning of time where it is unknown."""
    return written(spec.stamp.mtime_ns if spec.stamp else 0)
