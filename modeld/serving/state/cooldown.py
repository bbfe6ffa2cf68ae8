# SPDX-License-Identifier: GPL-3.0-only
"""How long a model that keeps failing is left alone. Pure: the time is an argument."""

from __future__ import annotations

from typing import Final

FIRST_S: Final = 5.0
LONGEST_S: Final = 60.0
MOST_DOUBLINGS: Final = 10


class Cooldown:
    """Doubles with every failure, up to a bound; work that went well ends it.

    A first crash costs nothing, because it may have been the request's fault: the model is loaded
    anew at once. A failed load is waited for from the first one on.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._until_s = 0.0
        self._failed_s = -LONGEST_S

    def load_failed(self, now_s: float) -> float:
        """Note a failed load, and return the seconds until the next may be tried."""
        self._failures += 1
        return self._wait(self._failures - 1, now_s)

    def crashed(self, now_s: float) -> float:
        """Note a death, and return the seconds until the next load may be tried."""
        self._failures += 1
        return self._wait(self._failures - 2, now_s)

    def worked(self, now_s: float) -> None:
        """Note a request that was served well. It counts when the last failure is long past.

        A model that dies every few seconds is not well because it serves others in between.
        """
        if now_s - self._failed_s >= LONGEST_S:
            self._failures = 0

    @property
    def has_record(self) -> bool:
        """Return whether the last that is known of it is a failure."""
        return self._failures > 0

    def remaining_s(self, now_s: float) -> float:
        """Return the seconds until a load may be tried; 0 for now."""
        return max(0.0, self._until_s - now_s)

    def _wait(self, doublings: int, now_s: float) -> float:
        doublings = min(doublings, MOST_DOUBLINGS)  # 2**n of a model that fails for weeks is huge
        wait_s = min(FIRST_S * 2**doublings, LONGEST_S) if doublings >= 0 else 0.0
        self._failed_s = now_s
        self._until_s = now_s + wait_s
        return wait_s
