# SPDX-License-Identifier: GPL-3.0-only
"""When a request is sent again, and when its refusal stands."""

from __future__ import annotations

import pytest
from modeld_upstream.connection.retries import Retries


def test_the_wait_grows_and_ends() -> None:
    retries = Retries(within_s=10)
    waits = [retries.after_failure(1.0) for _ in range(6)]
    assert waits == [0.25, 0.5, 1.0, 2.0, 4.0, None]


def test_a_lost_connection_is_replaced_once_and_at_once() -> None:
    retries = Retries(within_s=0)
    assert [retries.after_disconnect() for _ in range(2)] == [0.0, None]


@pytest.mark.parametrize("status", [400, 401, 404, 500, 504])
def test_other_refusals_stand(status: int) -> None:
    assert Retries(10).after_refusal(status, 1.0, 0.5) is None


def test_who_has_too_much_is_asked_again_when_it_says_so() -> None:
    assert Retries(10).after_refusal(429, None, 0.5) is None
    assert Retries(10).after_refusal(429, 3.0, 0.5) == 3.0
    assert Retries(10).after_refusal(429, 11.0, 0.5) is None


def test_who_is_busy_is_asked_again_soon() -> None:
    assert Retries(10).after_refusal(503, None, 0.0) == 0.125
