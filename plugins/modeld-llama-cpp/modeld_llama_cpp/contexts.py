# SPDX-License-Identifier: GPL-3.0-only
"""The context of a model: its memory for tokens and its buffers for computing."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import llama_cpp

from modeld import ModelSpec
from modeld.errors import LoadFailedError
from modeld_llama_cpp import native_log, shape
from modeld_llama_cpp.cores import usable_cores
from modeld_llama_cpp.families import ENCODERS, WITH_POSITION_TABLE
from modeld_llama_cpp.options import LlamaOptions
from modeld_llama_cpp.shape import Shape
from modeld_llama_cpp.weights import cause

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
    """Whether a part of a sequence can be taken out of memory or shared with another.

    The state of a recurrent layer is one thing for all tokens before; it cannot be taken apart.
    """
    return not (
        llama_cpp.llama_model_is_recurrent(weights) or llama_cpp.llama_model_is_hybrid(weights)
    )


def most_positions(weights: int, context: int) -> int:
    """The most tokens of one request in a context. A table of positions ends where training did."""
    if _header_value(weights, "general.architecture") not in WITH_POSITION_TABLE:
        return context
    return min(context, int(llama_cpp.llama_model_n_ctx_train(weights)))


def shape_for_text(weights: int, options: LlamaOptions) -> Shape:
    """The shape of a context that writes text with these weights."""
    trained = llama_cpp.llama_model_n_ctx_train(weights)
    return shape.for_text(options, trained)


def shape_for_vectors(weights: int, options: LlamaOptions) -> Shape:
    """The shape of a context that makes vectors with these weights."""
    family = _header_value(weights, "general.architecture")
    return shape.for_vectors(
        options,
        llama_cpp.llama_model_n_ctx_train(weights),
        pooling=int(_header_value(weights, f"{family}.pooling_type") or 0),
        causal=family not in ENCODERS
        and _header_value(weights, f"{family}.attention.causal") != "false",
    )


def make(
    weights: int,
    spec: ModelSpec,
    options: LlamaOptions,
    made: Shape,
    lines: Sequence[native_log.Line],
) -> int:
    """A context of that shape; the pointer to it. ``lines`` is what llama.cpp logs.

    Raises:
        LoadFailedError: there is not enough memory, or the model allows no such context.
    """
    said_before = len(lines)
    params = parameters(options, made)
    context: int | None = llama_cpp.llama_init_from_model(weights, params)
    if not context:
        raise LoadFailedError(
            f"{spec.id}: no context of {made.context} tokens for {options.slots} slots:"
            f" {cause(lines[said_before:], spec)}"
        )
    return context


def parameters(options: LlamaOptions, made: Shape) -> llama_cpp.llama_context_params:
    """What llama.cpp is told about a context."""
    params: llama_cpp.llama_context_params = llama_cpp.llama_context_default_params()
    params.n_ctx = made.context
    params.n_batch = made.batch
    params.n_ubatch = made.ubatch
    params.n_seq_max = made.sequences
    params.n_outputs_max = made.outputs
    params.n_threads = options.threads or usable_cores()
    params.n_threads_batch = options.threads_batch or params.n_threads
    params.kv_unified = True
    params.swa_full = True  # a window that forgets cannot be cut back after an abort
    params.type_k = _CACHE_TYPES[options.cache_type_k]
    params.type_v = _CACHE_TYPES[options.cache_type_v]
    params.flash_attn_type = _FLASH_ATTENTION[options.flash_attention]
    if options.rope_scaling is not None:
        params.rope_scaling_type = _ROPE_SCALING[options.rope_scaling]
    for name in _SAME_NAME:
        if (value := getattr(options, name)) is not None:
            setattr(params, name, value)
    if made.pooling is not None:
        params.embeddings = True
        params.pooling_type = _POOLING[made.pooling]
    return params


def _header_value(weights: int, key: str) -> str:
    buffer = ctypes.create_string_buffer(64)
    llama_cpp.llama_model_meta_val_str(weights, key.encode(), buffer, len(buffer))
    return buffer.value.decode()
