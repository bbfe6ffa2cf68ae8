# SPDX-License-Identifier: GPL-3.0-only
"""Waiting for what happens in another process."""

from __future__ import annotations

import time
from collections.abc import Callable


def eventually(holds: Callable[[], object], *, within_s: float = 30.0) -> float:
    """Poll until it holds; how long that took, in seconds."""
    began_s = time.monotonic()
    while not holds():
        waited_s = time.monotonic() - began_s
        assert waited_s < within_s, f"it did not come to that within {within_s:g} s"
        time.sleep(0.01)
    return time.monotonic() - began_s
