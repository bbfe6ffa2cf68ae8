# SPDX-License-Identifier: GPL-3.0-only
"""What a step costs by how many tokens it computes, learned from the steps themselves. Pure.

A step takes little longer for a second token where memory is what it waits for, and twice as long
where the processor is. Which of them it is depends on the machine, the model and how many requests
run, so nothing but the steps can tell.
"""

from __future__ import annotations

SLOPE = 0.5
"""How much of a step is taken to grow with its tokens, for as long as that was not measured."""

WEIGHT = 0.1
"""What the last measurement counts against all before."""

FORGETS = 0.997
"""An estimate that keeps a size from being tried shrinks by this, or it could never be mended."""


class StepCosts:
    """Seconds of steps by their number of tokens."""

    def __init__(self) -> None:
        self._spent_s: dict[int, float] = {}

    def note(self, tokens: int, spent_s: float) -> None:
        """Note that a step of so many tokens took so long; nothing where no time has passed."""
        if spent_s <= 0.0:
            return
        known = self._spent_s.get(tokens)
        if known is None:
            self._spent_s[tokens] = spent_s
        else:
            # Another program that took the processor for a moment says nothing about the step.
            sample = min(max(spent_s, known / 2), known * 2)
            self._spent_s[tokens] = known + WEIGHT * (sample - known)

    def ratio(self, tokens: int, base: int) -> float:
        """Return how much longer than a step of ``base`` tokens one of ``tokens`` takes.

        What was not measured follows from the next smaller number that was.
        """
        if base not in self._spent_s:
            return expected_ratio(tokens, base)
        known = tokens
        while known not in self._spent_s:  # `base` is, so this ends
            known -= 1
        return expected_ratio(tokens, known) * self._spent_s[known] / self._spent_s[base]

    def doubt(self, tokens: int, base: int) -> None:
        """Trust a little less that a step of so many tokens takes longer than was expected."""
        if tokens in self._spent_s and self.ratio(tokens, base) > expected_ratio(tokens, base):
            self._spent_s[tokens] *= FORGETS


def expected_ratio(tokens: int, base: int) -> float:
    """Return how much longer than a step of ``base`` tokens one of ``tokens`` should take."""
    return 1.0 - SLOPE + SLOPE * tokens / base
