# SPDX-License-Identifier: GPL-3.0-only
"""Whether the options of a model fit together. Each check names the option that is wrong."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from modeld_llama_cpp.options import LlamaOptions

UNQUANTISED = frozenset({"f16", "f32", "bf16"})

_YARN = (
    "yarn_ext_factor",
    "yarn_attn_factor",
    "yarn_beta_fast",
    "yarn_beta_slow",
    "yarn_orig_ctx",
)


def check(options: LlamaOptions) -> None:
    """Check options against each other.

    Raises:
        ValueError: two of them contradict each other, a number is not finite, or a file is missing.
    """
    _check_numbers(options)
    _check_context(options)
    _check_gpus(options)
    _check_cache_types(options)
    _check_rope(options)
    _check_embeddings(options)
    _check_files(options)


def _check_numbers(options: LlamaOptions) -> None:
    for name, value in _floats(options):
        if not math.isfinite(value):
            raise ValueError(f"{name} is {value}; it must be a finite number")


def _floats(options: LlamaOptions) -> Iterator[tuple[str, float]]:
    for field in msgspec.structs.fields(options):
        value = getattr(options, field.name)
        if isinstance(value, float):
            yield field.name, value
    yield from (
        (f"tensor_split[{place}]", share) for place, share in enumerate(options.tensor_split)
    )
    yield from ((f"lora[{place}].scale", each.scale) for place, each in enumerate(options.lora))


def _check_context(options: LlamaOptions) -> None:
    if options.context is not None and options.context < options.slots:
        raise ValueError(
            f"context is {options.context}, fewer tokens than there are slots ({options.slots})"
        )


def _check_gpus(options: LlamaOptions) -> None:
    if not options.tensor_split:
        return
    if not any(options.tensor_split):
        raise ValueError("tensor_split gives no GPU a share; one must be above 0")
    if options.gpu_layers == 0:
        raise ValueError("tensor_split divides layers among GPUs, but gpu_layers is 0")
    if options.split_mode == "none":
        raise ValueError("tensor_split divides the model among GPUs, but split_mode is 'none'")


def _check_cache_types(options: LlamaOptions) -> None:
    if options.flash_attention == "off" and options.cache_type_v not in UNQUANTISED:
        raise ValueError(
            f"cache_type_v {options.cache_type_v!r} needs flash attention, but flash_attention is"
            " 'off'"
        )


def _check_rope(options: LlamaOptions) -> None:
    scaling = options.rope_scaling
    if scaling == "none" and options.rope_freq_scale is not None:
        raise ValueError("rope_freq_scale has no effect where rope_scaling is 'none'")
    for name in _YARN:
        if scaling not in {None, "yarn"} and getattr(options, name) is not None:
            raise ValueError(f"{name} needs rope_scaling 'yarn', not {scaling!r}")


def _check_embeddings(options: LlamaOptions) -> None:
    if options.pooling is not None and options.embeddings is False:
        raise ValueError("pooling makes embeddings, but embeddings is false")


def _check_files(options: LlamaOptions) -> None:
    if options.chat_template is not None and options.chat_template_file is not None:
        raise ValueError("chat_template and chat_template_file are both set; set one of them")
    for place, adapter in enumerate(options.lora):
        _check_file(f"lora[{place}].path", adapter.path)
    if options.chat_template_file is not None:
        _check_file("chat_template_file", options.chat_template_file)


def _check_file(name: str, path: str) -> None:
    try:
        found = Path(path).expanduser().is_file()
    except (OSError, ValueError) as exc:
        raise ValueError(f"{name}: {path!r} cannot be looked up: {exc}") from exc
    if not found:
        raise ValueError(f"{name}: there is no file {path!r}")
