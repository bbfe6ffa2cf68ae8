# SPDX-License-Identifier: GPL-3.0-only
"""How large a model's context is made, for text and for vectors. Loads no runtime."""

from __future__ import annotations

from typing import Literal, TypeAlias

from modeld.values import Value
from modeld_llama_cpp.options import LlamaOptions

CELLS_STEP = 256
"""llama.cpp rounds the size of its KV cache up to a multiple of this."""

MOST_SEQUENCES = 256
"""llama.cpp has no more sequence ids than this."""

PIECE = 128
"""Most tokens computed together for a vector that can be made in pieces: llama.cpp lays out the
logits of each of them (512 MiB for 512 tokens of a vocabulary of 262,144), though nobody asks."""

TEXTS_AT_ONCE = 32
"""Texts that one batch for vectors may have."""

Pooling: TypeAlias = Literal["mean", "cls", "last", "rank"]

_POOLING_BY_NUMBER: dict[int, Pooling] = {1: "mean", 2: "cls", 3: "last", 4: "rank"}


class Shape(Value, frozen=True, kw_only=True):
    """How large a context of llama.cpp is.

    ``context`` is the most tokens in memory, ``batch`` the most in one call, ``ubatch`` the most
    that are computed together, and ``outputs`` the most of those that have logits. ``pooling`` is
    how vectors are made, ``None`` where text is written.
    """

    context: int
    sequences: int
    batch: int
    ubatch: int
    outputs: int
    pooling: Pooling | None = None


def for_text(options: LlamaOptions, trained: int | None) -> Shape:
    """One sequence for each slot."""
    context = options.context_for(trained)
    batch = min(options.step_tokens, context)  # llama.cpp takes no more tokens in one call
    return Shape(
        context=context,
        sequences=options.slots,
        batch=batch,
        ubatch=min(options.ubatch, batch),
        outputs=min(options.slots * (1 + options.draft_tokens), batch),
    )


def for_vectors(
    options: LlamaOptions, trained: int | None, *, pooling: int | None, causal: bool
) -> Shape:
    """Many texts in one batch; ``pooling`` is the header's number for it.

    Where tokens look ahead a text must be computed in one piece. Where they do not, pieces do as
    well, if whoever makes them puts the vectors of one text together, and take far less memory:
    llama.cpp makes logits for all of them. It is left to llama.cpp where it makes a score.
    """
    context = options.context_for(trained)
    way = options.pooling or _POOLING_BY_NUMBER.get(pooling or 0) or ("last" if causal else "mean")
    in_pieces = causal and way != "rank"
    return Shape(
        context=context,
        sequences=min(max(options.slots, TEXTS_AT_ONCE), context, MOST_SEQUENCES),
        batch=context,
        ubatch=min(options.ubatch, PIECE, context) if in_pieces else context,
        outputs=context,
        pooling=way,
    )


def cells_for(context: int) -> int:
    """How many KV cells llama.cpp makes for a context of so many tokens."""
    return -(-context // CELLS_STEP) * CELLS_STEP
