# SPDX-License-Identifier: GPL-3.0-only
"""What a model can do with less of, so that it fits: what costs its users least goes first.

The prefix cache only saves time; a KV cache of half the size is a little less exact; a smaller
context takes shorter chats; layers that are not on GPUs are several times slower. Loads no runtime.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from msgspec.structs import replace

from modeld.values import FitStep
from modeld_llama_cpp.options import LlamaOptions
from modeld_llama_cpp.sizing import context_size, estimate, gpu_libraries
from modeld_llama_cpp.sizing.context_size import CELLS_STEP
from modeld_llama_cpp.sizing.estimate import VALUES_PER_BLOCK
from modeld_llama_cpp.sizing.model_shape import ModelShape

SMALLEST_CONTEXT: Final = 1024
"""Fewer tokens are of little use to a chat: better to be told that the model does not fit."""

_EIGHTHS: Final = (8, 7, 6, 4, 3, 2)
"""A context that fits as estimated is tried first, and then so many eighths of it: the estimate may
be a little short; see :func:`modeld_llama_cpp.sizing.estimate.compute_bytes`."""

_SHARES: Final = (3, 2, 1, 0)
"""Quarters of the layers that stay on GPUs, one after the other."""


def fit_steps(
    shape: ModelShape, options: LlamaOptions, fixed: Collection[str], most_bytes: int
) -> Iterator[FitStep]:
    """Yield the steps for a model, without those that change what is ``fixed`` or nothing."""
    lessened = options
    steps = (
        *_cache_steps(shape, options, fixed),
        *_kv_type_steps(shape, options, fixed),
    )
    for step in steps:
        lessened = replace(lessened, **step.changes)
        yield step
    yield from _context_steps(shape, lessened, fixed, most_bytes)
    yield from _gpu_steps(shape, options, fixed)


def _cache_steps(
    shape: ModelShape, options: LlamaOptions, fixed: Collection[str]
) -> Iterator[FitStep]:
    if "cache_tokens" in fixed or not estimate.prefix_cache_bytes(shape, options):
        return
    context = context_size.context_tokens(options, shape.trained_length)
    tokens = context_size.prefix_cache_tokens(options, context)
    for less in (tokens // 2, 0):
        kept = f"a prefix cache of {less} tokens" if less else "no prefix cache"
        yield FitStep(
            name="cache_tokens",
            gives_up=f"{kept} in place of one of {tokens}",
            changes={"cache_tokens": less},
        )


def _kv_type_steps(
    shape: ModelShape, options: LlamaOptions, fixed: Collection[str]
) -> Iterator[FitStep]:
    now = options.cache_type_k, options.cache_type_v
    is_set = not {"cache_type_k", "cache_type_v"}.isdisjoint(fixed)
    if is_set or set(now) != {"f16"} or not shape.causal:
        return
    # Quantised values need flash attention, and both need rows of whole blocks.
    if options.flash_attention == "off" or not _has_whole_blocks(shape):
        return
    yield FitStep(
        name="kv_cache_type",
        gives_up="a KV cache in q8_0 in place of f16",
        changes={"cache_type_k": "q8_0", "cache_type_v": "q8_0"},
    )


def _has_whole_blocks(shape: ModelShape) -> bool:
    rows = [width for layer in shape.layers for width in (layer.key, layer.value) if width]
    return bool(rows) and all(width % VALUES_PER_BLOCK == 0 for width in rows)


def _context_steps(
    shape: ModelShape, options: LlamaOptions, fixed: Collection[str], most_bytes: int
) -> Iterator[FitStep]:
    full = context_size.for_model(shape, options).context
    floor = max(SMALLEST_CONTEXT, options.slots)
    if "context" in fixed or full <= floor:
        return
    largest = _largest_context(shape, options, range(floor, full, CELLS_STEP), most_bytes)
    cells = (largest * eighths // 8 // CELLS_STEP * CELLS_STEP for eighths in _EIGHTHS)
    for tokens in sorted({largest, floor} | {max(floor, each) for each in cells}, reverse=True):
        yield FitStep(
            name="context",
            gives_up=f"a context of {tokens} tokens in place of {full}",
            changes={"context": tokens},
        )


def _largest_context(
    shape: ModelShape, options: LlamaOptions, contexts: Sequence[int], most_bytes: int
) -> int:
    """Return the largest of ascending contexts that fits as estimated, or else the smallest."""

    def size_of(tokens: int) -> int:
        return estimate.whole(shape, replace(options, context=tokens)).total_bytes

    return contexts[max(0, bisect_right(contexts, most_bytes, key=size_of) - 1)]


def _gpu_steps(
    shape: ModelShape, options: LlamaOptions, fixed: Collection[str]
) -> Iterator[FitStep]:
    if "gpu_layers" in fixed or options.gpu_layers == 0 or not gpu_libraries.is_there():
        return
    layers = len(shape.layers)
    on_gpus = layers if options.gpu_layers is None else min(options.gpu_layers, layers)
    for quarters in _SHARES:
        kept = on_gpus * quarters // 4
        if kept or not options.tensor_split:  # which divides what is on GPUs
            yield FitStep(
                name="gpu_layers",
                gives_up=f"{kept} of {layers} layers on GPUs in place of {on_gpus}",
                changes={"gpu_layers": kept},
            )
