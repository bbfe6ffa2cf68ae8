# SPDX-License-Identifier: GPL-3.0-only
"""The prompts: made-up words, or a text that is given."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final, TypeAlias

_WORDS: Final = (
    "time year people way day man thing woman life child world school state family student group"
    " country problem hand part place case week company system program question work night point"
    " home water room mother area money story fact month lot right study book eye job word business"
    " side kind head house service friend father power hour game line end member law car city name"
)
_TABLE: Final = _WORDS.split() * 4
"""A word for each byte."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Random words, each of them about one token; the same for the same seed and number.

    Every prompt begins with the same ``shared`` words and goes on with words of its own, from the
    first one after them.
    """

    tokens: int
    shared: int
    seed: int

    def prompt(self, number: int) -> str:
        """Return the prompt of the request with this number, from 1 on; 0 makes common words."""
        own = _words(self.tokens - self.shared, f"{self.seed} {number}")
        return " ".join(_words(self.shared, f"{self.seed} 0") + own)

    def described(self) -> str:
        """Return one phrase for a report."""
        if self.shared:
            return f"of about {self.tokens} tokens, of which the first {self.shared} are common"
        return f"of about {self.tokens} tokens, each its own"


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """The same text for every request."""

    text: str

    def prompt(self, number: int) -> str:  # noqa: ARG002  (all are alike)
        """Return the text."""
        return self.text

    def described(self) -> str:
        """Return one phrase for a report."""
        return f"of {len(self.text)} characters, the same each time"


Prompts: TypeAlias = Words | Text


def _words(count: int, seed: str) -> list[str]:
    # Bytes are many times cheaper than choices, and the clients' time goes on meanwhile.
    picked = random.Random(seed).randbytes(count)  # noqa: S311  (words, not secrets)
    return [_TABLE[byte] for byte in picked]
