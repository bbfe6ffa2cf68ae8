# SPDX-License-Identifier: GPL-3.0-only
"""What is known of a model before it is loaded: whether OpenVINO reads it, and how much it holds.

The numbers of a GGUF file are in its header, those of an OpenVINO model in its ``config.json``;
:mod:`.folder` puts them into the metadata under the names that they have there.
"""

from __future__ import annotations

from typing import Final

from modeld import MemoryEstimate, ModelSpec
from modeld_openvino.options import OpenVinoOptions

OPENVINO: Final = "openvino"
"""The format of OpenVINO models, as the source calls it."""

DEFAULT_CONTEXT: Final = 4096

_FAMILIES: Final = frozenset({"llama", "qwen2", "qwen3"})
_VOCABULARY: Final = "gpt2"
_WEIGHTS_FACTOR: Final = 3
_RUNTIME_BYTES: Final = 40 << 20
"""Weights are there as they were read and as the processor wants them: 2.2 to 3.1 times their size
in eight models of 13 to 200 MiB (Q4, Q8, F16, int8), beside the libraries and the tokenizer."""

_F16_BYTES: Final = 2
_SCALE_BYTES: Final = 8
"""A scale and a zero point: for each head and token in values, each channel and block in keys."""


def is_readable_gguf(spec: ModelSpec) -> bool:
    """Return whether OpenVINO reads such a GGUF file, and reads it right.

    It builds the networks of some families, knows byte-level BPE only, and passes over what the
    header says of scaled positions.
    """
    return (
        spec.format == "gguf"
        and spec.family in _FAMILIES
        and spec.metadata.get("tokenizer.ggml.model") == _VOCABULARY
        and spec.metadata.get(f"{spec.family}.rope.scaling.type", "none") == "none"
        and "general.file_type" in spec.metadata
    )


def context(spec: ModelSpec, options: OpenVinoOptions) -> int:
    """Return the most tokens that one request may have."""
    return options.context or min(spec.context_length or DEFAULT_CONTEXT, DEFAULT_CONTEXT)


def blocks(spec: ModelSpec, options: OpenVinoOptions) -> int:
    """Return how many blocks the cache has: enough for every slot to fill its context."""
    return options.slots * -(-context(spec, options) // options.block_tokens)


def estimate(spec: ModelSpec, options: OpenVinoOptions) -> MemoryEstimate:
    """Return what the model will hold once loaded."""
    cache_tokens = blocks(spec, options) * options.block_tokens
    return MemoryEstimate(
        weights_bytes=_WEIGHTS_FACTOR * (spec.weights_bytes or spec.size_bytes),
        kv_bytes=int(cache_tokens * _cache_bytes_per_token(spec, options)),
        compute_bytes=_RUNTIME_BYTES,
    )


def _cache_bytes_per_token(spec: ModelSpec, options: OpenVinoOptions) -> float:
    layers, heads, size = _layers(spec), *_heads(spec)
    if options.cache_type == "u8":
        keys = size * (1 + _SCALE_BYTES / options.block_tokens)
        return layers * heads * (keys + size + _SCALE_BYTES)
    return layers * heads * 2 * size * _F16_BYTES


def _layers(spec: ModelSpec) -> int:
    return _number(spec, "block_count", "num_hidden_layers") or 0


def _heads(spec: ModelSpec) -> tuple[int, int]:
    """Return how many heads keys and values have, and how many numbers are in one."""
    queries = _number(spec, "attention.head_count", "num_attention_heads") or 1
    width = _number(spec, "embedding_length", "hidden_size") or 0
    heads = _number(spec, "attention.head_count_kv", "num_key_value_heads") or queries
    size = _number(spec, "attention.key_length", "head_dim") or width // queries
    return heads, size


def _number(spec: ModelSpec, in_header: str, in_config: str) -> int | None:
    key = in_config if spec.format == OPENVINO else f"{spec.family}.{in_header}"
    value = spec.metadata.get(key)
    return value if type(value) is int and value > 0 else None
