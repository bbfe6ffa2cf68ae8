# SPDX-License-Identifier: GPL-3.0-only
"""What became of one request. All moments are seconds of one clock, ``time.perf_counter``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

MESSAGE_CHARS: Final = 300
"""How much is shown of what a server says about a failure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """The server's own account of a generation, in tokens; ``None`` where it says nothing."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A request whose response came to its proper end; ``arrivals_s`` are its pieces of text."""

    sent_s: float
    ended_s: float
    arrivals_s: Sequence[float]
    usage: Usage

    @property
    def tokens(self) -> int:
        """Return the tokens of the generation, or pieces of text where the server counts none."""
        counted = self.usage.completion_tokens
        return len(self.arrivals_s) if counted is None else counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A request without a whole response.

    ``reason`` is one of few; ``message`` is what the server or the connection said.
    """

    sent_s: float
    ended_s: float
    reason: str
    message: str = ""
    retry_after_s: float | None = None


Outcome: TypeAlias = Answered | Failed
