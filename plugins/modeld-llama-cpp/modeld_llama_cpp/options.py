# SPDX-License-Identifier: GPL-3.0-only
"""What can be set for one model on llama.cpp."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from modeld import Options
from modeld.values import Value
from modeld_llama_cpp import option_checks

DEFAULT_CONTEXT = 4096
DEFAULT_UBATCH = 512
"""Reading prompts takes 4 to 6 % less time with it than with 128 (SmolLM2 on two CPU threads)."""

DEFAULT_PREFILL_CHUNK = 128
"""A quarter of a ubatch: running answers wait for a step that is about four times shorter."""

CacheType: TypeAlias = Literal[
    "f16", "f32", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1"
]


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
        ValueError: options contradict each other, or a file is missing; it names the option.
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
            description="most tokens of prompts in one step while answers are being written;"
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
        str | None, Meta(description="a chat template in place of the model's own")
    ] = None
    chat_template_file: Annotated[
        str | None, Meta(description="the file with such a chat template")
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
            description="most tokens of ended requests that are kept in main memory for requests"
            " that begin alike; as many as `context` unless set, 0 keeps none"
        ),
    ] = None
    draft_tokens: Annotated[
        int,
        Meta(
            ge=0,
            le=64,
            description="most tokens that are guessed from the text so far in one step; 0: none",
        ),
    ] = 0

    def __post_init__(self) -> None:
        """Check what belongs together."""
        option_checks.check(self)

    def context_for(self, trained: int | None) -> int:
        """The context in tokens for a model that was trained with ``trained`` of them."""
        if self.context is not None:
            return self.context
        return min(trained or DEFAULT_CONTEXT, DEFAULT_CONTEXT)

    def kept_tokens(self, context: int) -> int:
        """Most tokens of ended requests that are kept beside a context of so many tokens."""
        return context if self.cache_tokens is None else self.cache_tokens

    @property
    def step_tokens(self) -> int:
        """Most tokens in one step. Every slot has at least one of them."""
        return max(self.batch or self.ubatch, self.slots)
