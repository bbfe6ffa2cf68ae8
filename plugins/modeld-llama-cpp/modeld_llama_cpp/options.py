# SPDX-License-Identifier: GPL-3.0-only
"""What can be set for one model on llama.cpp."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from modeld import Options
from modeld.values import Value
from modeld_llama_cpp.chat import template_option

DEFAULT_UBATCH = 512
"""Reading prompts takes 4 to 6 % less time with it than with 128 (SmolLM2 on two CPU threads)."""

DEFAULT_PREFILL_CHUNK = 128
"""A quarter of a ubatch: running generations wait for a step that is about four times shorter."""

CacheType: TypeAlias = Literal[
    "f16", "f32", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"
]

_UNQUANTISED = frozenset({"f16", "f32", "bf16"})
_YARN = (
    "yarn_ext_factor",
    "yarn_attn_factor",
    "yarn_beta_fast",
    "yarn_beta_slow",
    "yarn_orig_ctx",
)


class LoraAdapter(Value, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A LoRA adapter that is applied to a model: its GGUF file and how strongly it counts."""

    path: str
    scale: float = 1.0


class LlamaOptions(Options, frozen=True, kw_only=True):
    """Options of the llama.cpp backend. ``None`` leaves the choice to what is said there.

    ``context`` is the size of the KV cache in tokens. All requests of the model share it, and one
    request alone may fill it. When they need more than there is, the youngest waits and is
    computed again later.

    Raises:
        ValueError: options contradict each other, a file is missing, or a chat template is none; it
            names the option.
    """

    slots: Annotated[
        int, Meta(ge=1, le=256, description="how many requests run at once in one loaded model")
    ] = 4
    context: Annotated[
        Annotated[int, Meta(ge=8, le=1 << 24)] | None,
        Meta(
            description="tokens of all running requests together, and the most for one of them;"
            " the model's trained length, but no more than 4096, unless set"
        ),
    ] = None
    batch: Annotated[
        Annotated[int, Meta(ge=1, le=1 << 16)] | None,
        Meta(description="most tokens in one step; as `ubatch` unless set"),
    ] = None
    ubatch: Annotated[
        int,
        Meta(
            ge=1,
            le=1 << 16,
            description="tokens computed together; more reads prompts faster and takes more memory",
        ),
    ] = DEFAULT_UBATCH
    prefill_chunk: Annotated[
        int,
        Meta(
            ge=1,
            le=1 << 16,
            description="most tokens of prompts in one step while generations are running;"
            " less keeps these more even, more brings new ones sooner",
        ),
    ] = DEFAULT_PREFILL_CHUNK
    threads: Annotated[
        Annotated[int, Meta(ge=1, le=1024)] | None,
        Meta(description="threads to compute with; one per usable core unless set"),
    ] = None
    threads_batch: Annotated[
        Annotated[int, Meta(ge=1, le=1024)] | None,
        Meta(description="threads to read prompts with; as `threads` unless set"),
    ] = None
    gpu_layers: Annotated[
        Annotated[int, Meta(ge=0, le=1 << 16)] | None,
        Meta(description="layers to keep on GPUs; all of them unless set"),
    ] = None
    main_gpu: Annotated[
        int,
        Meta(ge=0, le=255, description="the GPU for everything that is not split, counted from 0"),
    ] = 0
    split_mode: Annotated[
        Literal["layer", "row", "none"],
        Meta(description="what is divided among several GPUs; with `none` only `main_gpu` is used"),
    ] = "layer"
    tensor_split: Annotated[
        tuple[Annotated[float, Meta(ge=0)], ...],
        Meta(description="the share of each GPU in the model; by their free memory unless set"),
    ] = ()
    cache_type_k: Annotated[
        CacheType, Meta(description="how keys are kept; `q8_0` takes half the memory of `f16`")
    ] = "f16"
    cache_type_v: Annotated[
        CacheType,
        Meta(description="how values are kept; quantised ones need flash attention"),
    ] = "f16"
    flash_attention: Annotated[
        Literal["auto", "on", "off"],
        Meta(description="attention without a score for each pair of tokens in memory"),
    ] = "auto"
    mmap: Annotated[
        bool, Meta(description="map the file instead of reading it: loads faster, shares pages")
    ] = True
    mlock: Annotated[bool, Meta(description="keep the weights from being swapped out")] = False
    rope_scaling: Annotated[
        Literal["none", "linear", "yarn", "longrope"] | None,
        Meta(description="how positions beyond the trained length are treated; the model's way"),
    ] = None
    rope_freq_base: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(description="base frequency of the rotary positions; the model's unless set"),
    ] = None
    rope_freq_scale: Annotated[
        Annotated[float, Meta(gt=0)] | None,
        Meta(
            description="factor on all positions, 0.5 for twice the trained length; the model's"
            " unless set"
        ),
    ] = None
    yarn_ext_factor: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(description="YaRN: how much is extrapolated; the model's unless set"),
    ] = None
    yarn_attn_factor: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(
            description="YaRN: factor on the attention, where `yarn_ext_factor` is 0; the model's"
            " unless set"
        ),
    ] = None
    yarn_beta_fast: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(description="YaRN: turns from which on nothing is scaled; the model's unless set"),
    ] = None
    yarn_beta_slow: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(description="YaRN: turns below which all is scaled; the model's unless set"),
    ] = None
    yarn_orig_ctx: Annotated[
        Annotated[int, Meta(ge=1, le=1 << 24)] | None,
        Meta(description="YaRN: the trained length in tokens; the model's unless set"),
    ] = None
    lora: Annotated[
        tuple[LoraAdapter, ...],
        Meta(description="LoRA adapters to apply, each a table with `path` and `scale` (1.0)"),
    ] = ()
    chat_template: Annotated[
        str | None,
        Meta(
            description="a chat template in place of the model's own, in Jinja, or the name of one"
            " of llama.cpp's, such as `chatml`"
        ),
    ] = None
    chat_template_file: Annotated[
        str | None, Meta(description="the file with such a chat template, in Jinja")
    ] = None
    embeddings: Annotated[
        bool | None,
        Meta(
            description="answer with vectors instead of text; unless set, on for encoders, for"
            " models whose header has a pooling type, and where `pooling` is set"
        ),
    ] = None
    pooling: Annotated[
        Literal["mean", "cls", "last", "rank"] | None,
        Meta(description="how the vectors of all tokens become one; the model's way unless set"),
    ] = None
    cache_tokens: Annotated[
        Annotated[int, Meta(ge=0, le=1 << 24)] | None,
        Meta(
            description="most tokens of the prefix cache, which keeps ended requests in main memory"
            " for those that begin alike; as many as `context` unless set, 0: none"
        ),
    ] = None
    draft_tokens: Annotated[
        int,
        Meta(
            ge=0,
            le=64,
            description="most draft tokens ahead of one request, looked up in its text so far where"
            " that promises to pay; 0: none",
        ),
    ] = 0

    def __post_init__(self) -> None:
        """Check the options against each other. Each check names the one that is wrong."""
        _check_numbers(self)
        _check_context(self)
        _check_gpus(self)
        _check_cache_types(self)
        _check_rope(self)
        _check_embeddings(self)
        _check_files(self)

    @property
    def step_tokens(self) -> int:
        """Return the most tokens in one step. Every slot has at least one of them."""
        return max(self.batch or self.ubatch, self.slots)


def _check_numbers(options: LlamaOptions) -> None:
    for name, value in _floats(options):
        if not math.isfinite(value):
            raise ValueError(f"{name} is {value}; it must be a finite number")


def _floats(options: LlamaOptions) -> Iterator[tuple[str, float]]:
    for name in options.__struct_fields__:  # the types, which nobody needs here, take a millisecond
        value = getattr(options, name)
        if isinstance(value, float):
            yield name, value
    yield from (
        (f"tensor_split[{index}]", share) for index, share in enumerate(options.tensor_split)
    )
    yield from ((f"lora[{index}].scale", each.scale) for index, each in enumerate(options.lora))


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
    if options.flash_attention == "off" and options.cache_type_v not in _UNQUANTISED:
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
    if options.chat_template is not None:
        template_option.check(options.chat_template)
    for index, adapter in enumerate(options.lora):
        _check_file(f"lora[{index}].path", adapter.path)
    if options.chat_template_file is not None:
        _check_file("chat_template_file", options.chat_template_file)
        template_option.check_file(Path(options.chat_template_file).expanduser())


def _check_file(name: str, path: str) -> None:
    try:
        found = Path(path).expanduser().is_file()
    except (OSError, ValueError) as exc:
        raise ValueError(f"{name}: {path!r} cannot be looked up: {exc}") from exc
    if not found:
        raise ValueError(f"{name}: there is no file {path!r}")
