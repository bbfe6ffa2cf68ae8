# SPDX-License-Identifier: GPL-3.0-only
"""What turns the chunks of one response into bytes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TypeAlias

from modeld.errors import ModeldError
from modeld.responses import Done, Piece


class StreamEncoder(ABC):
    """Writes one response as its chunks come. It is made for it, and may remember what it wrote.

    Generations are counted by ``index`` in the order of their requests.
    """

    media_type: str

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

    @abstractmethod
    def whole(self, generations: Sequence[Done]) -> bytes:
        """Return the response. Each end has all texts, calls and logprobs."""


Encoder: TypeAlias = StreamEncoder | WholeEncoder
