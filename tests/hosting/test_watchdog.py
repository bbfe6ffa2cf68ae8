# SPDX-License-Identifier: GPL-3.0-only
import pytest

from modeld.hosting.pauses import SHORTEST_INTERVAL_S
from modeld.hosting.watchdog import Watchdog


def watched(watchdog: Watchdog, until_s: float, now_s: float = 0.0) -> tuple[str | None, float]:
    """Check as often as the watchdog wants, and return the first complaint and its time."""
    while now_s < until_s:
        now_s += watchdog.interval_s
        if why := watchdog.check(now_s):
            return why, now_s
    return None, now_s


def test_with_nothing_running_there_is_nothing_to_watch() -> None:
    watchdog = Watchdog(10, 5, 0.0)

    assert not watchdog.needed
    assert watched(watchdog, 1000)[0] is None


def test_running_requests_without_a_sign_of_life_are_a_stall() -> None:
    watchdog = Watchdog(10, 5, 0.0)
    watchdog.started(1, 0.0)
    assert watchdog.needed

    why, when_s = watched(watchdog, 100)

    assert why == "it made no progress for 10 s"
    assert 10 <= when_s <= 10 + watchdog.interval_s


def test_any_sign_of_life_counts() -> None:
    watchdog = Watchdog(10, 5, 0.0)
    watchdog.started(1, 0.0)
    assert watched(watchdog, 9)[0] is None

    watchdog.progress(9.0)

    _why, when_s = watched(watchdog, 100, now_s=9.0)
    assert 19 <= when_s <= 19 + watchdog.interval_s


def test_the_silence_counts_from_the_first_request_and_not_from_before() -> None:
    watchdog = Watchdog(10, 5, 0.0)
    watchdog.started(1, 1000.0)

    assert watchdog.check(1000.1) is None
    _why, when_s = watched(watchdog, 2000, now_s=1000.1)
    assert when_s >= 1010


def test_a_new_request_is_no_sign_of_life_for_those_that_run() -> None:
    watchdog = Watchdog(10, 5, 0.0)
    watchdog.started(1, 0.0)
    watched(watchdog, 9)
    watchdog.started(2, 9.0)

    _why, when_s = watched(watchdog, 100, now_s=9.0)

    assert when_s <= 10 + watchdog.interval_s


def test_ended_requests_are_not_waited_for() -> None:
    watchdog = Watchdog(10, 5, 0.0)
    watchdog.started(1, 0.0)
    watchdog.ended(1)

    assert not watchdog.needed
    assert watched(watchdog, 100)[0] is None


def test_a_cancelled_request_that_is_not_given_up_is_a_stall() -> None:
    watchdog = Watchdog(100, 5, 0.0)
    watchdog.started(1, 0.0)
    watchdog.cancelling(1, 2.0)
    watchdog.ended(1)
    assert watchdog.needed

    why, when_s = watched(watchdog, 50)

    assert why == "it did not give up a cancelled request within 5 s"
    assert 7 <= when_s <= 7 + watchdog.interval_s


def test_progress_of_others_does_not_excuse_a_cancelled_request() -> None:
    watchdog = Watchdog(100, 5, 0.0)
    watchdog.cancelling(1, 0.0)
    now_s = 0.0
    why = None
    while why is None and now_s < 50:
        now_s += watchdog.interval_s
        watchdog.progress(now_s)
        why = watchdog.check(now_s)

    assert now_s <= 5 + watchdog.interval_s


def test_a_request_that_was_given_up_is_forgotten() -> None:
    watchdog = Watchdog(100, 5, 0.0)
    watchdog.cancelling(1, 0.0)
    watchdog.cancelled(1)
    watchdog.cancelled(1)

    assert not watchdog.needed
    assert watched(watchdog, 50)[0] is None


def test_each_cancelled_request_has_its_own_time() -> None:
    watchdog = Watchdog(100, 5, 0.0)
    watchdog.cancelling(1, 0.0)
    watchdog.cancelling(2, 3.0)
    watchdog.cancelled(1)

    assert watched(watchdog, 7.5)[0] is None
    assert watched(watchdog, 50, now_s=7.5)[1] >= 8


def test_checks_that_come_late_prove_nothing_about_the_worker() -> None:
    """This process was suspended: its worker may have been suspended with it."""
    watchdog = Watchdog(10, 5, 0.0)
    watchdog.started(1, 0.0)
    watchdog.cancelling(2, 0.0)
    assert watchdog.check(0.5) is None

    assert watchdog.check(3600.0) is None
    why, when_s = watched(watchdog, 4000, now_s=3600.0)
    assert why is not None
    assert when_s >= 3605


def test_the_time_between_requests_is_no_late_check() -> None:
    watchdog = Watchdog(10, 5, 0.0)
    watchdog.started(1, 0.0)
    watchdog.check(0.5)
    watchdog.ended(1)
    watchdog.started(2, 1000.0)

    _why, when_s = watched(watchdog, 2000, now_s=1000.0)

    assert when_s <= 1010 + watchdog.interval_s


@pytest.mark.parametrize(
    ("stall_s", "cancel_s", "interval_s"),
    [(10, 5, 0.5), (5, 10, 0.5), (0.001, 10, SHORTEST_INTERVAL_S)],
)
def test_checks_are_ten_times_as_frequent_as_the_shortest_limit(
    stall_s: float, cancel_s: float, interval_s: float
) -> None:
    assert Watchdog(stall_s, cancel_s, 0.0).interval_s == interval_s
