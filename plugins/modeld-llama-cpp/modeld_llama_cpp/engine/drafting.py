# SPDX-License-Identifier: GPL-3.0-only
"""Drafts the next tokens by looking up what followed the last ones before. Pure.

Generations often repeat stretches of their prompt: names, code, quotations. Computing some draft
tokens in one batch with the last one costs less than computing them one by one, and one that is
wrong changes nothing but the time it took: tokens are chosen as without a draft. (Prompt lookup
decoding, A. Saxena, 2023; llama.cpp's ``lookup`` example.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

LENGTH = 3
"""How many tokens must be the same for what followed them to be a draft."""


class PromptLookup:
    """Where each run of :data:`LENGTH` tokens of one growing sequence was followed last.

    ``count_allowed`` says how many of some tokens may come one after the other.
    """

    def __init__(self, count_allowed: Callable[[Sequence[int]], int] = len) -> None:
        self._count_allowed = count_allowed
        self._followed: dict[tuple[int, ...], int] = {}
        self._read = LENGTH

    def draft_tokens(self, tokens: Sequence[int], most: int) -> Sequence[int]:
        """Return at most ``most`` tokens that may follow, or none if nothing is known."""
        for index in range(self._read, len(tokens)):
            self._followed[tuple(tokens[index - LENGTH : index])] = index
        # The run at the very end is left for later: nothing has followed it yet.
        self._read = max(self._read, len(tokens))
        found = self._followed.get(tuple(tokens[-LENGTH:]))
        if found is None:
            return ()
        draft = tokens[found : found + most]
        return draft[: self._count_allowed(draft)]
