# SPDX-License-Identifier: GPL-3.0-only
"""Packs embeddings for their way out of a worker; there may be millions of numbers."""

from __future__ import annotations

import asyncio
from struct import Struct
from struct import error as StructError  # noqa: N812  (it is a class)
from typing import Final

from modeld.responses import EmbedResponse, Usage
from modeld.values import Value

NUMBERS_PER_TURN: Final = 1 << 16
"""How many numbers are unpacked before others have a turn: about a millisecond."""

NUMBER_BYTES: Final = 4


class Vectors(Value, frozen=True, kw_only=True, array_like=True, tag="vectors"):
    """Vectors one after the other, ``length`` numbers each, a number in single precision.

    A number takes four bytes here and nine in msgpack. Runtimes compute no better than that.
    """

    numbers: bytes
    length: int
    usage: Usage

    @classmethod
    def pack(cls, response: EmbedResponse) -> Vectors:
        """Pack an engine's response.

        Raises:
            ValueError: the vectors are empty, not all of one length, or not of numbers.
        """
        try:
            length = len(response.vectors[0]) if response.vectors else 1
            one = _layout(length)
            numbers = b"".join(one.pack(*vector) for vector in response.vectors)
        except (TypeError, StructError) as exc:
            raise ValueError(f"the vectors cannot be packed: {exc}") from exc
        if not length:
            raise ValueError("vectors without a number in them")
        return cls(numbers=numbers, length=length, usage=response.usage)

    async def unpack(self) -> EmbedResponse:
        """Return the vectors as they were, to single precision, while others on the loop go on.

        Raises:
            ValueError: the bytes are no vectors of this length.
        """
        if self.length < 1 or len(self.numbers) % (self.length * NUMBER_BYTES):
            raise ValueError(f"{len(self.numbers)} bytes as vectors of {self.length} numbers")
        if not self.numbers:
            return EmbedResponse(vectors=(), usage=self.usage)
        vectors: list[tuple[float, ...]] = []
        per_turn = max(1, NUMBERS_PER_TURN // self.length)
        for vector in _layout(self.length).iter_unpack(self.numbers):
            vectors.append(vector)
            if len(vectors) % per_turn == 0:
                await asyncio.sleep(0)
        return EmbedResponse(vectors=tuple(vectors), usage=self.usage)


def _layout(length: int) -> Struct:
    """Return one vector's layout in this machine's byte order: both ends are on one machine."""
    return Struct(f"{length}f")
