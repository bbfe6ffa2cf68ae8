# SPDX-License-Identifier: GPL-3.0-only
"""Checks of how long calls take."""

from __future__ import annotations

import time
from collections.abc import Callable


def quickest(call: Callable[[], object]) -> float:
    """Return how long a call takes in seconds, the best of three: others use this machine too."""
    took: list[float] = []
    for _ in range(3):
        began_s = time.perf_counter()
        call()
        took.append(time.perf_counter() - began_s)
    return min(took)
