# SPDX-License-Identifier: GPL-3.0-only
"""When a start stalls, on a clock of the test's own."""

from __future__ import annotations

import pytest
from modeld_upstream.spawning.readiness import Start

from modeld.errors import LoadFailedError


def a_start() -> Start:
    return Start(stall_s=10, timeout_s=60, now_s=0)


def test_output_and_another_health_are_signs_of_life() -> None:
    start = a_start()
    assert start.note(None, 5, 9)
    start.check(18)
    assert start.note(503, 5, 18)
    start.check(27)
    assert not start.note(503, 5, 27)
    with pytest.raises(LoadFailedError, match="nothing for 10 s and responds with HTTP status 503"):
        start.check(28)


def test_a_server_that_never_responds_is_told_of_as_such() -> None:
    with pytest.raises(LoadFailedError, match="does not respond"):
        a_start().check(10)


def test_whatever_a_server_does_its_time_is_limited() -> None:
    start = a_start()
    for second in range(60):
        start.note(None, second, second)
        start.check(second)
    with pytest.raises(LoadFailedError, match="not ready after 60 s"):
        start.check(60)
