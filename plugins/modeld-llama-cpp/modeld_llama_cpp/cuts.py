# SPDX-License-Identifier: GPL-3.0-only
"""Finds places where a long text can be cut without a change to its tokens.

llama.cpp looks for special tokens first, the longest first, and tokenises each stretch between
them by itself. The time for that grows with the square of their number: a MiB of nothing but
``<|im_end|>`` took 20 s in one go, and 64 pieces of it 7 ms each. Just before a special token a
text can be cut: what stands before it ends there in any case, and what follows is read as at the
beginning of a text. That holds unless

- another special token could be found across the cut, or across the end of the token after it;
- the token takes the white space before it away, and there is some.

A text without special tokens is not cut, as words may reach as far as they like. Its time grows
with its length.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import ClassVar


class Cuts:
    """Cuts texts for one vocabulary.

    ``specials`` are the texts of the special tokens, and whether each takes the white space before
    it away.
    """

    STEP_BYTES: ClassVar[int] = 16 << 10
    """Pieces are at least so long."""

    TRIES: ClassVar[int] = 64
    """Of so many places one must do; else the text stays whole for another step."""

    def __init__(self, specials: Mapping[bytes, bool]) -> None:
        self._longest = max(map(len, specials), default=0)
        self._any = _longest_of(specials)
        self._stripping = frozenset(text for text, strips in specials.items() if strips)

    def pieces(self, text: bytes) -> list[bytes]:
        """The text in one or more pieces, whose tokens one after the other are the text's."""
        pieces: list[bytes] = []
        start, target = 0, self.STEP_BYTES
        while target < len(text):
            cut = self._find(text, target)
            if cut is not None:
                pieces.append(text[start:cut])
                start = target = cut
            target += self.STEP_BYTES
        return [*pieces, text[start:]]

    def _find(self, text: bytes, target: int) -> int | None:
        """The first place for a cut within a step from ``target`` on."""
        until = target + self.STEP_BYTES + self._longest
        for _ in range(self.TRIES):
            found = self._any.search(text, target, until)
            if found is None:
                return None
            if self._is_exact(text, found.start()):
                return found.start()
            target = found.start() + 1
        return None

    def _is_exact(self, text: bytes, start: int) -> bool:
        """Whether a special token is read there in any case, and none across its ends."""
        found = self._any.match(text, start)
        assert found is not None
        end = found.end()
        if found[0] in self._stripping and text[start - 1 : start].isspace():
            return False
        return not any(
            (other := self._any.match(text, at)) and other.end() > (start if at < start else end)
            for at in range(max(start - self._longest + 1, 0), end)
            if at != start
        )


def _longest_of(texts: Iterable[bytes]) -> re.Pattern[bytes]:
    """What matches the longest of some texts at a place.

    They are put together by their first bytes, of which there are few, so that most places in a
    text need no look at thousands of them.
    """
    by_first: dict[bytes, list[bytes]] = {}
    for text in sorted(texts, key=len, reverse=True):
        by_first.setdefault(text[:1], []).append(re.escape(text[1:]))
    groups = [re.escape(first) + b"(?:%s)" % b"|".join(rest) for first, rest in by_first.items()]
    return re.compile(b"|".join(groups) or b"(?!)")
