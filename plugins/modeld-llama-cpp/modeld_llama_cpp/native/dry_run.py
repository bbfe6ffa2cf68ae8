# SPDX-License-Identifier: GPL-3.0-only
"""What a model will hold, measured by laying it out without memory for its weights and tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import llama_cpp
import msgspec

from modeld import MemoryEstimate, ModelSpec
from modeld.values import JsonValue
from modeld_llama_cpp.native import buffers, contexts, heap, native_log, weights
from modeld_llama_cpp.options import LlamaOptions
from modeld_llama_cpp.sizing import context_size, estimate, gpu_share
from modeld_llama_cpp.sizing.model_shape import shape_of


def measure(spec: ModelSpec, options: Mapping[str, object]) -> JsonValue:
    """Return a :class:`~modeld.values.MemoryEstimate` as plain data.

    llama.cpp lays out weights and KV cache without allocating them, and says how large they and its
    buffers for computing are. ``None`` where it says nothing of the latter.

    Raises:
        InvalidModelError: the file cannot be used; the message says why.
        LoadFailedError: the model allows no such context.
    """
    checked = msgspec.convert(options, LlamaOptions)
    native_log.install()
    llama_cpp.llama_backend_init()
    heap_before = heap.used_bytes()
    with native_log.captured() as lines:
        laid_out = weights.lay_out(spec, checked, lines)
        beside_weights = buffers.beside_weights(lines, heap.used_bytes() - heap_before)
        try:
            _lay_out_context(laid_out, spec, checked, lines)
            weights_bytes = llama_cpp.llama_model_size(laid_out)
        finally:
            llama_cpp.llama_model_free(laid_out)
    computing = [buffer for buffer in buffers.buffers(lines) if buffer.purpose == "compute"]
    if not computing:
        return None
    made = MemoryEstimate(
        weights_bytes=weights_bytes + estimate.adapters_bytes(checked),
        kv_bytes=buffers.cache_bytes(lines),
        compute_bytes=beside_weights + buffers.held_bytes(lines, weights_bytes),
    )
    on_gpus = gpu_share.laid_out(
        made,
        buffers.offloaded(lines),
        buffers.free_mb(lines),
        buffers.on_gpus(computing),
        checked,
    )
    plain: JsonValue = msgspec.to_builtins(msgspec.structs.replace(made, on_gpus=on_gpus))
    return plain


def _lay_out_context(
    laid_out: int, spec: ModelSpec, options: LlamaOptions, lines: Sequence[native_log.LogLine]
) -> None:
    """Make the context that the model would have, and free it; its sizes are in ``lines`` then."""
    size_for = (
        contexts.size_for_vectors
        if context_size.makes_vectors(shape_of(spec), options)
        else contexts.size_for_text
    )
    context = contexts.make(laid_out, spec, options, size_for(laid_out, options), lines)
    llama_cpp.llama_free(context)
