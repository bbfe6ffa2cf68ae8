# SPDX-License-Identifier: GPL-3.0-only
"""Which number of threads is fastest, if the samples can tell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum, auto
from statistics import median, quantiles
from typing import Final, NamedTuple

WORTH: Final = 1.10
"""How much faster another number must be to be named."""

SURE: Final = 1.05
"""How much faster it must have been in three of four rounds."""

FEWEST_ROUNDS: Final = 3

MOST_SPREAD: Final = 0.4
"""The middle half of the samples may spread over so much of their median."""


class Certainty(Enum):
    """What the samples tell."""

    KEEP = auto()
    CHANGE = auto()
    UNCLEAR = auto()


class Choice(NamedTuple):
    """The fastest number, how much faster than the ``current`` one, and whether that is sure."""

    current: int
    best: int
    gain: float
    certainty: Certainty


def choose(samples: Mapping[int, Sequence[float]], current: int) -> Choice:
    """Compare, round by round, the number with the best median with the current one."""
    best = max(samples, key=lambda number: median(samples[number]) if samples[number] else 0.0)
    ratios = [one / other for one, other in zip(samples[best], samples[current], strict=True)]
    if len(ratios) < FEWEST_ROUNDS:
        return Choice(current, best, median(ratios) if ratios else 1.0, Certainty.UNCLEAR)
    gain = median(ratios)
    if best != current and gain > WORTH:
        is_sure = quantiles(ratios, n=4, method="inclusive")[0] > SURE
        return Choice(current, best, gain, Certainty.CHANGE if is_sure else Certainty.UNCLEAR)
    is_steady = max(_spread(samples[best]), _spread(samples[current])) <= MOST_SPREAD
    return Choice(current, best, gain, Certainty.KEEP if is_steady else Certainty.UNCLEAR)


def _spread(samples: Sequence[float]) -> float:
    low, middle, high = quantiles(samples, n=4, method="inclusive")
    return (high - low) / middle
