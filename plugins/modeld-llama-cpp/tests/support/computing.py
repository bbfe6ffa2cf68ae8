# SPDX-License-Identifier: GPL-3.0-only
"""Computes with a loaded model directly, to see what its options change."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import llama_cpp
import numpy as np
from modeld_llama_cpp.native.model import Model
from numpy.typing import NDArray

TOKENS = tuple(range(5, 45))


def logits(model: Model, tokens: Sequence[int] = TOKENS) -> NDArray[np.float32]:
    """Return what a model that writes text thinks comes next."""
    _decode(model, tokens)
    vocabulary = llama_cpp.llama_model_get_vocab(model.weights)
    assert vocabulary is not None
    row = llama_cpp.llama_get_logits_ith(model.context, -1)
    return np.ctypeslib.as_array(row, (llama_cpp.llama_vocab_n_tokens(vocabulary),)).copy()


def vector(model: Model, tokens: Sequence[int] = TOKENS) -> NDArray[np.float32]:
    """Return the vector of a text."""
    _decode(model, tokens)
    row = llama_cpp.llama_get_embeddings_seq(model.context, 0)
    return np.ctypeslib.as_array(row, (llama_cpp.llama_model_n_embd_out(model.weights),)).copy()


def _decode(model: Model, tokens: Sequence[int]) -> None:
    if memory := llama_cpp.llama_get_memory(model.context):
        llama_cpp.llama_memory_clear(memory, True)
    array = (ctypes.c_int32 * len(tokens))(*tokens)
    batch = llama_cpp.llama_batch_get_one(array, len(tokens))
    assert llama_cpp.llama_decode(model.context, batch) == 0
