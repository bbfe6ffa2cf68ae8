# SPDX-License-Identifier: GPL-3.0-only
"""What a source means by a status, and when it is asked again."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from modeld_pull.errors import (
    PullDeniedError,
    PullFailedError,
    PullNotFoundError,
    PullUnusableError,
)
from modeld_pull.http.refusals import refusal_of, retry_after_s
from modeld_pull.http.tries import LONGEST_ASKED_S, LONGEST_WAIT_S, Tries


@pytest.mark.parametrize(
    ("status", "headers", "kind", "said"),
    [
        (403, {"X-Error-Code": "GatedRepo"}, PullDeniedError, "accepted its terms"),
        (401, {"X-Error-Code": "GatedRepo"}, PullDeniedError, "accepted its terms"),
        (401, {"X-Error-Code": "RepoNotFound"}, PullNotFoundError, "no such repository"),
        (404, {"X-Error-Code": "RevisionNotFound"}, PullNotFoundError, "no such revision"),
        (404, {"X-Error-Code": "EntryNotFound"}, PullNotFoundError, "no such file"),
        (401, {}, PullDeniedError, "set HF_TOKEN"),
        (403, {}, PullDeniedError, "set HF_TOKEN"),
        (404, {}, PullNotFoundError, "nothing at this address"),
        (429, {"Retry-After": "7"}, PullFailedError, "(429)"),
        (503, {}, PullFailedError, "(503)"),
        (400, {}, PullUnusableError, "status 400"),
        (204, {}, PullUnusableError, "status 204"),
    ],
)
def test_a_status_becomes_an_error_that_says_what_to_do(status, headers, kind, said) -> None:
    error = refusal_of("hub.example", status, headers)
    assert type(error) is kind
    assert "hub.example" in error.message
    assert said in error.message


def test_how_long_to_wait_is_read_as_seconds_or_a_date() -> None:
    now = datetime(2026, 12, 1, 3, 0, tzinfo=UTC)
    said = {"1.5": 1.5, "-3": 0.0, "nan": None, "soon": None}
    said |= {"Tue, 01 Dec 2026 03:00:09 GMT": 9.0, "Tue, 01 Dec 2026 02:00:00 GMT": 0.0}
    assert {text: retry_after_s({"Retry-After": text}, now) for text in said} == said
    assert retry_after_s({}) is None


def test_tries_wait_longer_each_time_and_begin_anew_once_something_comes() -> None:
    tries, error = Tries(8), PullFailedError("x")
    waits = [tries.wait_s(error) for _ in range(8)]
    assert all(1.0 * 2**n * 0.5 <= wait <= 2.0**n for n, wait in enumerate(waits[:5]))
    assert all(wait <= LONGEST_WAIT_S for wait in waits)
    with pytest.raises(PullFailedError):
        tries.wait_s(error)
    tries.succeed()
    assert tries.wait_s(error) <= 1.0
    assert tries.wait_s(PullFailedError("x", retry_after_s=40)) == 40
    with pytest.raises(PullFailedError):
        tries.wait_s(PullFailedError("x", retry_after_s=LONGEST_ASKED_S + 1))
