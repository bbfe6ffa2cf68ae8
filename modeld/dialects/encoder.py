# SPDX-License-Identifier: GPL-3.0-only
"""What turns the chunks of one response into bytes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, TypeAlias

from modeld.errors import ModeldError
from modeld.responses import Done, Piece

_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})


class StreamEncoder(ABC):
    """Writes one response as its chunks come. It is made for it, and may remember what it wrote.

    Generations are counted by ``index`` in the order of their requests. ``headers`` are those of
    the response beyond the ones that all have.
    """

    media_type: str
    headers: Mapping[str, str] = _NO_HEADERS

    @abstractmethod
    def piece(self, index: int, piece: Piece) -> bytes:
        """Return a part of a generation; empty bytes send nothing."""

    @abstractmethod
    def done(self, index: int, done: Done) -> bytes:
        """Return the good end of one generation."""

    def last(self) -> bytes:
        """Return what follows once all generations have ended well."""
        return b""

    @abstractmethod
    def failure(self, error: ModeldError, status: int) -> bytes:
        """Return what ends a response that failed after its status line was sent."""


class WholeEncoder(ABC):
    """Writes one response when all of it is there."""

    media_type: str
    headers: Mapping[str, str] = _NO_HEADERS

    def note(self, index: int, piece: Piece) -> None:  # noqa: B027  (most have nothing to note)
        """Take note of a part as it comes; :meth:`whole` gets all of them together."""

    @abstractmethod
    def whole(self, generations: Sequence[Done]) -> bytes:
        """Return the response. Each end has all texts, calls and logprobs."""


Encoder: TypeAlias = StreamEncoder | WholeEncoder
