# SPDX-License-Identifier: GPL-3.0-only
"""Halts the measurement of what tests reach, for those that run the same lines a million times."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import coverage


@contextmanager
def unmeasured() -> Iterator[None]:
    """Count no lines of this process meanwhile. Other tests must reach all of them."""
    measurement = coverage.Coverage.current()
    if measurement is not None:
        measurement.stop()
    try:
        yield
    finally:
        if measurement is not None:
            measurement.start()
