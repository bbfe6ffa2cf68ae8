# SPDX-License-Identifier: GPL-3.0-only
"""The context of a model: its cells for tokens and its buffers for computing."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import llama_cpp

from modeld import ModelSpec
from modeld.errors import LoadFailedError
from modeld_llama_cpp.native import native_log
from modeld_llama_cpp.native.cores import usable_cores
from modeld_llama_cpp.native.weights import cause
from modeld_llama_cpp.options import LlamaOptions
from modeld_llama_cpp.sizing import context_size
from modeld_llama_cpp.sizing.context_size import ContextSize
from modeld_llama_cpp.sizing.families import ENCODERS, WITH_POSITION_TABLE

_FLASH_ATTENTION = {
    "auto": llama_cpp.LLAMA_FLASH_ATTN_TYPE_AUTO,
    "on": llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED,
    "off": llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED,
}

_ROPE_SCALING = {
    "none": llama_cpp.LLAMA_ROPE_SCALING_TYPE_NONE,
    "linear": llama_cpp.LLAMA_ROPE_SCALING_TYPE_LINEAR,
    "yarn": llama_cpp.LLAMA_ROPE_SCALING_TYPE_YARN,
    "longrope": llama_cpp.LLAMA_ROPE_SCALING_TYPE_LONGROPE,
}

_POOLING = {
    "mean": llama_cpp.LLAMA_POOLING_TYPE_MEAN,
    "cls": llama_cpp.LLAMA_POOLING_TYPE_CLS,
    "last": llama_cpp.LLAMA_POOLING_TYPE_LAST,
    "rank": llama_cpp.LLAMA_POOLING_TYPE_RANK,
}

_BF16 = 30
"""ggml's number, which the binding does not name."""

_CACHE_TYPES = {
    "f32": llama_cpp.GGML_TYPE_F32,
    "f16": llama_cpp.GGML_TYPE_F16,
    "bf16": _BF16,
    "q8_0": llama_cpp.GGML_TYPE_Q8_0,
    "q4_0": llama_cpp.GGML_TYPE_Q4_0,
    "q4_1": llama_cpp.GGML_TYPE_Q4_1,
    "iq4_nl": llama_cpp.GGML_TYPE_IQ4_NL,
    "q5_0": llama_cpp.GGML_TYPE_Q5_0,
    "q5_1": llama_cpp.GGML_TYPE_Q5_1,
}

_SAME_NAME = (
    "rope_freq_base",
    "rope_freq_scale",
    "yarn_ext_factor",
    "yarn_attn_factor",
    "yarn_beta_fast",
    "yarn_beta_slow",
    "yarn_orig_ctx",
)
"""Options that llama.cpp calls by the same name and takes from the model unless they are set."""


def can_cut(weights: int) -> bool:
    """Return whether a part of a sequence can be taken out of memory or shared with another.

    The state of a recurrent layer is one thing for all tokens before; it cannot be taken apart.
    """
    return not (
        llama_cpp.llama_model_is_recurrent(weights) or llama_cpp.llama_model_is_hybrid(weights)
    )


def trained_length(weights: int) -> int:
    """Return how many tokens the header says that the model was trained with.

    llama.cpp gives the header's unsigned number as a signed one. Taken for less than nothing, a
    huge one would become a context of billions of tokens, which fills the memory of any machine.
    """
    return ctypes.c_uint32(llama_cpp.llama_model_n_ctx_train(weights)).value


def most_positions(weights: int, context: int) -> int:
    """Return the most tokens of one request in a context.

    A table of positions ends where training did; beyond it llama.cpp ends the process.
    """
    if _header_value(weights, "general.architecture") not in WITH_POSITION_TABLE:
        return context
    return min(context, trained_length(weights))


def size_for_text(weights: int, options: LlamaOptions) -> ContextSize:
    """Return the size of a context that writes text with these weights."""
    return context_size.for_text(options, trained_length(weights))


def size_for_vectors(weights: int, options: LlamaOptions) -> ContextSize:
    """Return the size of a context that makes vectors with these weights."""
    family = _header_value(weights, "general.architecture")
    return context_size.for_vectors(
        options,
        trained_length(weights),
        pooling=int(_header_value(weights, f"{family}.pooling_type") or 0),
        causal=family not in ENCODERS
        and _header_value(weights, f"{family}.attention.causal") != "false",
    )


def make(
    weights: int,
    spec: ModelSpec,
    options: LlamaOptions,
    size: ContextSize,
    lines: Sequence[native_log.LogLine],
) -> int:
    """Make a context of that size and return the pointer to it. ``lines`` is what llama.cpp logs.

    Raises:
        LoadFailedError: there is not enough memory, or the model allows no such context.
    """
    said_before = len(lines)
    params = parameters(options, size)
    context: int | None = llama_cpp.llama_init_from_model(weights, params)
    if not context:
        raise LoadFailedError(
            f"{spec.id}: no context of {size.context} tokens for {options.slots} slots:"
            f" {cause(lines[said_before:], spec)}"
        )
    return context


def parameters(options: LlamaOptions, size: ContextSize) -> llama_cpp.llama_context_params:
    """Return what llama.cpp is told about a context."""
    params: llama_cpp.llama_context_params = llama_cpp.llama_context_default_params()
    params.n_ctx = size.context
    params.n_batch = size.batch
    params.n_ubatch = size.ubatch
    params.n_seq_max = size.sequences
    params.n_outputs_max = size.outputs
    params.n_threads = options.threads or usable_cores()
    params.n_threads_batch = options.threads_batch or params.n_threads
    params.kv_unified = True  # one pool of cells, which one request alone may fill
    params.swa_full = True  # a window that forgets cannot be cut back after an abort
    params.type_k = _CACHE_TYPES[options.cache_type_k]
    params.type_v = _CACHE_TYPES[options.cache_type_v]
    params.flash_attn_type = _FLASH_ATTENTION[options.flash_attention]
    if options.rope_scaling is not None:
        params.rope_scaling_type = _ROPE_SCALING[options.rope_scaling]
    for name in _SAME_NAME:
        if (value := getattr(options, name)) is not None:
            setattr(params, name, value)
    if size.pooling is not None:
        params.embeddings = True
        params.pooling_type = _POOLING[size.pooling]
    return params


def _header_value(weights: int, key: str) -> str:
    buffer = ctypes.create_string_buffer(64)  # stays empty where the header lacks the key
    llama_cpp.llama_model_meta_val_str(weights, key.encode(), buffer, len(buffer))
    return buffer.value.decode()
