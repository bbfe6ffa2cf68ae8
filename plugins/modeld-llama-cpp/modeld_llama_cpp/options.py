# SPDX-License-Identifier: GPL-3.0-only
"""What can be set for one model on llama.cpp."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from modeld import Options

DEFAULT_CONTEXT = 4096
DEFAULT_UBATCH = 128
"""Measured on two CPU threads: 6 % slower in prefill than 512, and four times shorter steps."""

CELLS_STEP = 256
"""llama.cpp rounds the size of its KV cache up to a multiple of this."""


class LlamaOptions(Options, frozen=True):
    """Options of the llama.cpp backend. ``None`` leaves the choice to what is said there.

    ``context`` is the size of the KV cache in tokens. All requests of the model share it, and one
    request alone may fill it. When they need more than there is, the youngest waits and is
    computed again later.
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
            description="tokens computed together; more is faster on GPUs, less answers sooner",
        ),
    ] = DEFAULT_UBATCH
    threads: Annotated[
        Annotated[int, Meta(ge=1, le=1024)] | None,
        Meta(description="threads to compute with; one per usable core unless set"),
    ] = None
    gpu_layers: Annotated[
        Annotated[int, Meta(ge=0, le=1 << 16)] | None,
        Meta(description="layers to keep on GPUs; all that fit unless set"),
    ] = None
    mmap: Annotated[
        bool, Meta(description="map the file instead of reading it: loads faster, shares pages")
    ] = True
    mlock: Annotated[bool, Meta(description="keep the weights from being swapped out")] = False

    def context_for(self, trained: int | None) -> int:
        """The context in tokens for a model that was trained with ``trained`` of them."""
        if self.context is not None:
            return self.context
        return min(trained or DEFAULT_CONTEXT, DEFAULT_CONTEXT)

    @property
    def step_tokens(self) -> int:
        """Most tokens in one step. Every slot has at least one of them."""
        return max(self.batch or self.ubatch, self.slots)


def cells_for(context: int) -> int:
    """How many KV cells llama.cpp makes for a context of so many tokens."""
    return -(-context // CELLS_STEP) * CELLS_STEP
