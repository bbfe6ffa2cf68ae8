# SPDX-License-Identifier: GPL-3.0-only
"""Tells language models from other GGUF files by their headers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modeld.gguf.cursor import GgufError, shown
from modeld.gguf.tensors import Tensor
from modeld.values import MetadataValue

EMBEDDING_TENSOR = "token_embd.weight"
"""The tensor that every language model of llama.cpp has, by this name."""

VOCABULARY_KEY = "tokenizer.ggml.model"
NO_VOCABULARY = ("none", "no_vocab")

_PROJECTOR = "a projector, which shows pictures or sound to another model"
_ADAPTER = "an adapter (LoRA), which changes another model"
_CONTROL_VECTOR = "a control vector, which changes another model"
_MATRIX = "an importance matrix, made to quantise another model"
_PICTURES = "a model that makes pictures or films, not text"
_SPEECH = "a model that reads speech, not text"

_BY_TYPE = {"adapter": _ADAPTER, "mmproj": _PROJECTOR, "imatrix": _MATRIX}
_BY_ARCHITECTURE = {
    "clip": _PROJECTOR,
    "controlvector": _CONTROL_VECTOR,
    "imatrix": _MATRIX,
    "whisper": _SPEECH,
    **dict.fromkeys(
        (
            *("aura", "auraflow", "chroma", "cosmos", "flux", "hidream", "hyvid", "ltxv"),
            *("lumina2", "pixart", "qwen_image", "sd1", "sd3", "sdxl", "wan", "z_image"),
        ),
        _PICTURES,
    ),
}
_MODEL = "model"


def refuse_other_purpose(values: Mapping[str, MetadataValue], tensors: Sequence[Tensor]) -> None:
    """Refuse a file that says itself that it is something else than a language model.

    Raises:
        GgufError: it does; the reason says what it is.
    """
    purpose = _purpose(values, tensors)
    if purpose is not None:
        raise GgufError(f"this is {purpose}")


def has_vocabulary(values: Mapping[str, MetadataValue]) -> bool:
    """Return whether a header's values say how text becomes tokens."""
    return values.get(VOCABULARY_KEY, NO_VOCABULARY[0]) not in NO_VOCABULARY


def has_token_embeddings(tensors: Sequence[Tensor]) -> bool:
    """Return whether one of these tensors is the one that makes vectors of tokens."""
    return any(tensor.name == EMBEDDING_TENSOR for tensor in tensors)


def _purpose(values: Mapping[str, MetadataValue], tensors: Sequence[Tensor]) -> str | None:
    kind = str(values.get("general.type", _MODEL))  # a list cannot be looked up
    if kind in _BY_TYPE:
        return _BY_TYPE[kind]
    if kind != _MODEL:
        return f"no model: general.type is {shown(kind)}"
    if any(tensor.name.endswith(".lora_a") for tensor in tensors):
        return _ADAPTER
    return _BY_ARCHITECTURE.get(str(values.get("general.architecture")))
