# SPDX-License-Identifier: GPL-3.0-only
"""The tokens whose logits a chain changes: those that a request biases and the last of its text."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable

import numpy as np

from modeld_llama_cpp.sampling.logits import Ids


class PenaltyWindow:
    """The last ``length`` tokens and those ``always`` in it, each once.

    It is kept up to date token by token, since going over a window of 32,000 would take a
    millisecond for each.
    """

    def __init__(self, length: int, always: Collection[int] = ()) -> None:
        self._last: deque[int] = deque(maxlen=length)
        self._always = always
        self._all = np.empty(length + len(always), np.int64)
        self._recount()

    @property
    def ids(self) -> Ids:
        """Return the tokens, in any order; valid until the next one comes."""
        return self._all[: len(self._indices)]

    def append(self, token: int) -> None:
        """Go on with one token; the ``length``-th before it drops out."""
        if len(self._last) == self._last.maxlen:
            self._drop(self._last[0])
        self._last.append(token)
        if not self._counts[token]:
            self._all[len(self._indices)] = token
            self._indices[token] = len(self._indices)
        self._counts[token] += 1

    def extend(self, tokens: Iterable[int]) -> None:
        """Go on with many tokens."""
        self._last.extend(tokens)
        self._recount()

    def _drop(self, token: int) -> None:
        """Take one occurrence away. The last of all tokens moves to an index that falls vacant."""
        self._counts[token] -= 1
        if self._counts[token]:
            return
        del self._counts[token]
        last = int(self._all[len(self._indices) - 1])
        index = self._indices[last] = self._indices[token]
        self._all[index] = last
        del self._indices[token]

    def _recount(self) -> None:
        self._counts = Counter(self._last)
        self._counts.update(self._always)
        self._indices = {token: index for index, token in enumerate(self._counts)}
        self._all[: len(self._indices)] = list(self._indices)
