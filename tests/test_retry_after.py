# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from datetime import UTC, datetime

import pytest

from modeld.retry_after import retry_after_s

NOW = datetime(2026, 12, 1, 3, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("said", "wait_s"),
    [
        ("2", 2.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("Tue, 01 Dec 2026 03:00:09 GMT", 9.0),
        ("Tue, 01 Dec 2026 03:00:09 -0000", 9.0),
        ("Tue, 01 Dec 2026 02:00:00 GMT", 0.0),
    ],
)
def test_how_long_to_wait_is_read_as_seconds_or_a_date(said: str, wait_s: float | None) -> None:
    assert retry_after_s({"Retry-After": said}, NOW) == wait_s


def test_a_response_may_say_nothing_of_it() -> None:
    assert retry_after_s({}, NOW) is None
