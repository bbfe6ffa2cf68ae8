# SPDX-License-Identifier: GPL-3.0-only
"""How often a model is asked for. Pure: the time is an argument."""

from __future__ import annotations

import math
from typing import Final

HALF_LIFE_S: Final = 1800.0
"""After so long a request counts half as much for the rate."""

_PER_S: Final = math.log(2) / HALF_LIFE_S


class Demand:
    """The requests for one model: how many there were, and at which rate they come now.

    The rate is an exponentially decayed count. A request that came ``t`` seconds ago weighs
    2^(-t / half life), as in LRFU (Lee et al., "LRFU: A Spectrum of Policies that Subsumes the
    Least Recently Used and Least Frequently Used Policies", IEEE Transactions on Computers 50,
    2001). Where requests come at a steady rate, their weights add up to rate * half life / ln 2, so
    the sum times ln 2 / half life estimates the rate. As all weights decay alike, one number is all
    that is kept, and a request costs the same however many there were.
    """

    __slots__ = ("_sum", "_summed_s", "requests")

    def __init__(self) -> None:
        self.requests = 0
        self._sum = 0.0
        self._summed_s = 0.0

    def note(self, now_s: float) -> None:
        """Count a request that has arrived."""
        self.requests += 1
        self._sum = 1.0 + self._decayed(now_s)
        self._summed_s = now_s

    def rate_per_s(self, now_s: float) -> float:
        """Return how many requests come in a second, the latest ones counting most."""
        return self._decayed(now_s) * _PER_S

    def _decayed(self, now_s: float) -> float:
        return self._sum * math.exp(_PER_S * (self._summed_s - now_s))
