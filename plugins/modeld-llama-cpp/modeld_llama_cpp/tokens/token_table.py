# SPDX-License-Identifier: GPL-3.0-only
"""All tokens of a vocabulary and what they stand for, read in one go."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass

import llama_cpp
import numpy as np
from numpy.typing import NDArray

SPECIAL = 0xFF
"""The byte that marks what follows as the name of a special token; no text has it."""

_AT_ONCE = 256
"""After so many tokens, a quarter of a millisecond's work, others have the interpreter."""

_PAUSE_S = 50e-6
_BYTES_PER_TOKEN = 12

# As PYFUNCTYPE, so that the interpreter's lock is not given up and taken again for each token.
_TO_PIECE = ctypes.PYFUNCTYPE(
    ctypes.c_int32,
    ctypes.c_void_p,
    ctypes.c_int32,
    ctypes.c_void_p,
    ctypes.c_int32,
    ctypes.c_int32,
    ctypes.c_bool,
)
_IS_END = ctypes.PYFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_int32)


@dataclass(slots=True, frozen=True)
class TokenTable:
    """What each token stands for: ``lengths`` of stretches that follow each other in ``content``.

    That is the text that a generation shows of it. A token that shows none, and one that ends a
    generation, has its name behind :data:`SPECIAL`. ``ends`` are those that end a generation.
    """

    lengths: NDArray[np.uint32]
    content: NDArray[np.uint8]
    ends: tuple[int, ...]


class StoppedError(Exception):
    """Whoever wanted the table wants it no longer."""


def read_table(vocab: int, is_stopped: Callable[[], bool] = lambda: False) -> TokenTable:
    """Read all tokens of a vocabulary. May be called from any thread, and lets others get on.

    Raises:
        StoppedError: ``is_stopped()`` has become true.
    """
    is_end = _IS_END(address(llama_cpp.llama_vocab_is_eog))
    size = llama_cpp.llama_vocab_n_tokens(vocab)
    pieces = _Pieces(vocab, size)
    ends: list[int] = []
    for start in range(0, size, _AT_ONCE):
        if is_stopped():
            raise StoppedError
        for token in range(start, min(start + _AT_ONCE, size)):
            if is_end(vocab, token):
                ends.append(token)
                pieces.add_special(token)
            elif not pieces.add(token):
                pieces.add_special(token)
        time.sleep(_PAUSE_S)
    return pieces.table(ends)


class _Pieces:
    """The pieces of tokens one after the other, in memory that grows with them."""

    def __init__(self, vocab: int, size: int) -> None:
        self._vocab = vocab
        self._to_piece = _TO_PIECE(address(llama_cpp.llama_token_to_piece))
        self._lengths = [0] * size
        self._content = np.zeros(0, np.uint8)
        self._end = 0
        self._grow(size * _BYTES_PER_TOKEN + 256)

    def add(self, token: int, *, special: bool = False) -> int:
        """Append a token's piece; return its length."""
        while True:
            room = self._content.size - self._end
            length: int = self._to_piece(
                self._vocab, token, self._start + self._end, room, 0, special
            )
            if length >= 0:
                self._lengths[token] = length
                self._end += length
                return length
            self._grow(self._content.size)

    def add_special(self, token: int) -> None:
        """Append a special token's name behind the mark, or nothing if it has none."""
        if self._end == self._content.size:
            self._grow(self._content.size)
        self._content[self._end] = SPECIAL
        self._end += 1
        if self.add(token, special=True):
            self._lengths[token] += 1
        else:
            self._end -= 1

    def table(self, ends: list[int]) -> TokenTable:
        """Return what was appended, of which ``ends`` end a generation."""
        lengths = np.array(self._lengths, np.uint32)
        return TokenTable(lengths, self._content[: self._end], tuple(ends))

    def _grow(self, by: int) -> None:
        self._content = np.concatenate((self._content, np.zeros(by, np.uint8)))
        self._start = self._content.ctypes.data


def address(function: object) -> int:
    """Return the address of a function of the library."""
    address = ctypes.cast(function, ctypes.c_void_p).value  # type: ignore[arg-type]
    assert address is not None
    return address
