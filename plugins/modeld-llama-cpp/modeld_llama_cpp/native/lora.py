# SPDX-License-Identifier: GPL-3.0-only
"""LoRA adapters: small files whose weights are added to a model's while it computes."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import llama_cpp

from modeld import ModelSpec
from modeld.errors import InvalidModelError, LoadFailedError
from modeld_llama_cpp.native import native_log
from modeld_llama_cpp.native.weights import cause
from modeld_llama_cpp.options import LlamaOptions, LoraAdapter


def load(
    weights: int, spec: ModelSpec, options: LlamaOptions, lines: Sequence[native_log.LogLine]
) -> list[int]:
    """Load the options' adapters and return the pointers. ``lines`` is what llama.cpp logs.

    Raises:
        InvalidModelError: an adapter does not fit the model; the message names its file.
    """
    adapters: list[int] = []
    try:
        for adapter in options.lora:
            adapters.append(_load(weights, spec, adapter, lines))  # noqa: PERF401  (freed below)
    except InvalidModelError:
        free(adapters)
        raise
    return adapters


def apply(context: int, adapters: Sequence[int], spec: ModelSpec, options: LlamaOptions) -> None:
    """Let a context compute with the adapters, each as strongly as its scale says.

    Raises:
        LoadFailedError: llama.cpp refused them.
    """
    if not adapters:
        return
    count = len(adapters)
    pointers = (llama_cpp.llama_adapter_lora_p_ctypes * count)(*map(_pointer, adapters))
    scales = (ctypes.c_float * count)(*[adapter.scale for adapter in options.lora])
    if llama_cpp.llama_set_adapters_lora(context, pointers, count, scales) != 0:
        raise LoadFailedError(f"{spec.id}: llama.cpp did not apply the {count} LoRA adapters")


def free(adapters: Sequence[int]) -> None:
    """Give the adapters' memory back.

    That is after the contexts that compute with them, and before the weights, which free them too.
    """
    for adapter in adapters:
        llama_cpp.llama_adapter_lora_free(_pointer(adapter))


def _load(
    weights: int, spec: ModelSpec, adapter: LoraAdapter, lines: Sequence[native_log.LogLine]
) -> int:
    path = str(Path(adapter.path).expanduser())
    said_before = len(lines)
    loaded = llama_cpp.llama_adapter_lora_init(weights, os.fsencode(path))
    if not loaded:
        raise InvalidModelError(
            f"{spec.id}: the LoRA adapter {Path(path).name!r} cannot be used:"
            f" {cause(lines[said_before:], spec, path)}"
        )
    if llama_cpp.llama_adapter_get_alora_n_invocation_tokens(loaded):
        llama_cpp.llama_adapter_lora_free(loaded)
        raise InvalidModelError(
            f"{spec.id}: {Path(path).name!r} is an activated LoRA adapter, which counts only after"
            " certain tokens; only plain ones are supported"
        )
    address = ctypes.cast(loaded, ctypes.c_void_p).value
    assert address is not None
    return address


def _pointer(adapter: int) -> Any:
    return ctypes.cast(adapter, llama_cpp.llama_adapter_lora_p_ctypes)
