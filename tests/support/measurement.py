# SPDX-License-Identifier: GPL-3.0-only
"""Says where what tests reach is measured: not where the same lines run a million times over.

A process that is measured takes ten times as long to start, and there are thousands of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import coverage

_OF_PROCESSES = "COVERAGE_PROCESS_CONFIG"
"""A Python with this variable measures from its start: coverage's ``patch = ["subprocess"]``."""
_SETTINGS = os.environ.get(_OF_PROCESSES)


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


@contextmanager
def unmeasured_processes() -> Iterator[None]:
    """Measure no process that is started meanwhile, but for those of :func:`measured_processes`."""
    os.environ.pop(_OF_PROCESSES, None)
    try:
        yield
    finally:
        if _SETTINGS is not None:
            os.environ[_OF_PROCESSES] = _SETTINGS


@contextmanager
def measured_processes() -> Iterator[None]:
    """Measure the processes that are started meanwhile, where anything is measured at all."""
    if _SETTINGS is not None:
        os.environ[_OF_PROCESSES] = _SETTINGS
    try:
        yield
    finally:
        os.environ.pop(_OF_PROCESSES, None)
