# SPDX-License-Identifier: GPL-3.0-only
"""How large a model's context is made, for text and for vectors. Loads no runtime."""

from __future__ import annotations

from typing import Literal, TypeAlias

from modeld.values import Value
from modeld_llama_cpp.options import LlamaOptions
from modeld_llama_cpp.sizing.families import ENCODERS
from modeld_llama_cpp.sizing.model_shape import ModelShape

DEFAULT_CONTEXT = 4096
"""Tokens, unless the option says more or the model was trained with fewer."""

CELLS_STEP = 256
"""llama.cpp rounds the size of its KV cache up to a multiple of this."""

MOST_SEQUENCES = 256
"""llama.cpp has no more sequence ids than this."""

PIECE = 128
"""Most tokens computed together for a vector that can be made in pieces: llama.cpp lays out the
logits of each of them (512 MiB for 512 tokens of a vocabulary of 262,144), though nobody asks."""

TEXTS_AT_ONCE = 32
"""Texts that one batch for vectors may have."""

MOST_DRAFTED = 16
"""Draft tokens that a step may have for all requests together, or what one of them may have: where
many requests run, computing more together saves little."""

Pooling: TypeAlias = Literal["mean", "cls", "last", "rank"]

_POOLING_BY_NUMBER: dict[int, Pooling] = {1: "mean", 2: "cls", 3: "last", 4: "rank"}


class ContextSize(Value, frozen=True, kw_only=True):
    """How large a context of llama.cpp is.

    ``context`` is the most tokens in memory and ``sequences`` the most requests or texts that they
    belong to. ``batch`` is the most tokens in one call, ``ubatch`` the most that are computed
    together, and ``outputs`` the most of those that have logits. ``pooling`` is how the vectors of
    a text's tokens become one, ``None`` where text is written.
    """

    context: int
    sequences: int
    batch: int
    ubatch: int
    outputs: int
    pooling: Pooling | None = None


def makes_vectors(shape: ModelShape, options: LlamaOptions) -> bool:
    """Return whether the model makes vectors, as its options or else its header say."""
    if options.embeddings is not None:
        return options.embeddings
    return options.pooling is not None or shape.family in ENCODERS or shape.pooling_type != 0


def for_model(shape: ModelShape, options: LlamaOptions) -> ContextSize:
    """Return the size of the context that will be made for a model."""
    if makes_vectors(shape, options):
        return for_vectors(
            options, shape.trained_length, pooling=shape.pooling_type, causal=shape.causal
        )
    return for_text(options, shape.trained_length)


def for_text(options: LlamaOptions, trained: int | None) -> ContextSize:
    """Return the size for writing text: one sequence for each slot."""
    context = context_tokens(options, trained)
    batch = min(options.step_tokens, context)  # llama.cpp takes no more tokens in one call
    return ContextSize(
        context=context,
        sequences=options.slots,
        batch=batch,
        ubatch=min(options.ubatch, batch),
        outputs=min(options.slots + draft_room(options), batch),
    )


def draft_room(options: LlamaOptions) -> int:
    """Return the most draft tokens of one step: each takes room for a row of logits."""
    return min(options.slots * options.draft_tokens, max(MOST_DRAFTED, options.draft_tokens))


def for_vectors(
    options: LlamaOptions, trained: int | None, *, pooling: int | None, causal: bool
) -> ContextSize:
    """Return the size for vectors of many texts in one batch.

    ``pooling`` is the header's number for it, and ``causal`` says that no token looks ahead.

    Where tokens look ahead a text must be computed in one piece. Where they do not, pieces do as
    well, if whoever makes them puts the vectors of one text together, and take far less memory:
    llama.cpp makes logits for all of them. It is left to llama.cpp where it makes a score.
    """
    context = context_tokens(options, trained)
    way = options.pooling or _POOLING_BY_NUMBER.get(pooling or 0) or ("last" if causal else "mean")
    in_pieces = causal and way != "rank"
    return ContextSize(
        context=context,
        sequences=min(max(options.slots, TEXTS_AT_ONCE), context, MOST_SEQUENCES),
        batch=context,
        ubatch=min(options.ubatch, PIECE, context) if in_pieces else context,
        outputs=context,
        pooling=way,
    )


def context_tokens(options: LlamaOptions, trained: int | None) -> int:
    """Return the tokens of the context of a model that was trained with ``trained`` of them."""
    if options.context is not None:
        return options.context
    return min(trained or DEFAULT_CONTEXT, DEFAULT_CONTEXT)


def prefix_cache_tokens(options: LlamaOptions, context: int) -> int:
    """Return the most tokens in the prefix cache beside a context of so many tokens."""
    return context if options.cache_tokens is None else options.cache_tokens


def cells_for(context: int) -> int:
    """Return how many KV cells llama.cpp makes for a context of so many tokens."""
    return -(-context // CELLS_STEP) * CELLS_STEP
