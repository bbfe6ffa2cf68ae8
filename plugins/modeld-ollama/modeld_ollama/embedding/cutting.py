# SPDX-License-Identifier: GPL-3.0-only
"""Cuts texts that have more tokens than a model reads at once, where a request wants that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from modeld.responses import TokenizeResponse

RESERVED: Final = 8
"""Tokens that are left free: special ones stand around a text, and a cut end may take one more."""


def positions_of_long(texts: Sequence[str], context: int) -> list[int]:
    """Return which texts may be too long; a token stands for one byte at least."""
    return [
        position
        for position, text in enumerate(texts)
        if len(text) > room_in(context) or len(text.encode()) > room_in(context)
    ]


def cut(texts: Sequence[str], tokens: Sequence[TokenizeResponse], context: int) -> tuple[str, ...]:
    """Return the texts with those cut that are too long; ``tokens`` are of all that may be so."""
    of_long: Iterator[TokenizeResponse] = iter(tokens)
    long = set(positions_of_long(texts, context))
    return tuple(
        _cut(text, next(of_long).pieces, context) if position in long else text
        for position, text in enumerate(texts)
    )


def room_in(context: int) -> int:
    """Return how many tokens of a context a text may have."""
    return max(1, context - RESERVED)


def _cut(text: str, pieces: Sequence[bytes], context: int) -> str:
    if len(pieces) <= room_in(context):
        return text
    kept = b"".join(pieces[: room_in(context)]).decode(errors="ignore")
    return text[: max(1, len(kept))]
