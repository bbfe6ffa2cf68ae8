# SPDX-License-Identifier: GPL-3.0-only
"""Guesses the next tokens by looking up what followed the last ones before. Pure.

Answers often repeat stretches of their prompt: names, code, quotations. Computing some guessed
tokens in one batch with the last one costs less than computing them one by one, and a guess that
is wrong changes nothing but the time it took: tokens are chosen as without guesses. (Prompt lookup
decoding, A. Saxena, 2023; llama.cpp's ``lookup`` example.)
"""

from __future__ import annotations

from collections.abc import Sequence

LENGTH = 3
"""How many tokens must be the same for what followed them to be a guess."""


class Lookup:
    """Where each run of :data:`LENGTH` tokens of one growing sequence was followed last."""

    def __init__(self) -> None:
        self._followed: dict[tuple[int, ...], int] = {}
        self._read = LENGTH

    def guess(self, tokens: Sequence[int], most: int) -> Sequence[int]:
        """At most ``most`` tokens that may come after ``tokens``; none where nothing is known."""
        for place in range(self._read, len(tokens)):
            self._followed[tuple(tokens[place - LENGTH : place])] = place
        self._read = max(self._read, len(tokens))
        found = self._followed.get(tuple(tokens[-LENGTH:]))
        return () if found is None else tokens[found : found + most]
