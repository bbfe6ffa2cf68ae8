# SPDX-License-Identifier: GPL-3.0-only
"""When to ask a source again that could not be reached, broke off or was overloaded."""

from __future__ import annotations

import random
from typing import Final

from modeld_pull.errors import PullFailedError

FIRST_WAIT_S: Final = 1.0
LONGEST_WAIT_S: Final = 30.0
LONGEST_ASKED_S: Final = 300.0
"""A source that wants to be left alone for longer than this ends the pull; it can be resumed."""


class Tries:
    """Counts the tries that have failed in a row: ``most`` of them are repeated."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._failed = 0

    def succeed(self) -> None:
        """Note that something has come."""
        self._failed = 0

    def wait_s(self, error: PullFailedError) -> float:
        """Return the seconds until the next try.

        Raises:
            PullFailedError: there is none.
        """
        self._failed += 1
        asked_s = error.retry_after_s or 0.0
        if self._failed > self._most or asked_s > LONGEST_ASKED_S:
            raise error
        usual_s = min(LONGEST_WAIT_S, FIRST_WAIT_S * (1 << self._failed - 1))
        return max(asked_s, usual_s * random.uniform(0.5, 1.0))  # noqa: S311  (no secret)
