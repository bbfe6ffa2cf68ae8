# SPDX-License-Identifier: GPL-3.0-only
"""When silence is silence, and when this process itself stood still."""

from modeld.hosting.pauses import SHORTEST_INTERVAL_S, PauseDetector, Silence


def looked_at(silence: Silence, now_s: float, until_s: float) -> float | None:
    """Look as often as is asked for, and say when it was over."""
    while now_s < until_s:
        now_s += silence.wait_s(now_s)
        if silence.is_over(now_s):
            return now_s
    return None


def test_silence_is_over_at_its_limit_and_not_at_one_look() -> None:
    over_s = looked_at(Silence(10.0, 100.0), 100.0, 200.0)
    assert over_s is not None
    assert 110.0 <= over_s <= 110.0 + 2 * SHORTEST_INTERVAL_S


def test_a_sign_of_life_begins_it_anew() -> None:
    silence = Silence(10.0, 0.0)
    assert looked_at(silence, 0.0, 9.0) is None
    silence.sign(9.0)
    over_s = looked_at(silence, 9.0, 100.0)
    assert over_s is not None
    assert over_s >= 19.0


def test_a_sign_that_was_read_after_the_limits_timer_counts() -> None:
    """After a short pause the timer may be called before the socket is read."""
    silence = Silence(10.0, 0.0)
    assert looked_at(silence, 0.0, 8.5) is None
    assert not silence.is_over(11.0)
    silence.sign(11.0)
    assert not silence.is_over(11.0 + SHORTEST_INTERVAL_S)


def test_a_process_that_was_stopped_for_longer_than_the_limit_begins_anew() -> None:
    silence = Silence(10.0, 0.0)
    assert looked_at(silence, 0.0, 3.0) is None
    assert not silence.is_over(1000.0)
    assert not silence.is_over(1000.0 + SHORTEST_INTERVAL_S)
    over_s = looked_at(silence, 1000.0, 2000.0)
    assert over_s is not None
    assert over_s >= 1010.0


def test_pauses_one_after_the_other_do_not_count_either() -> None:
    silence = Silence(10.0, 0.0)
    now_s = 0.0
    for _ in range(100):
        now_s += 60.0
        assert not silence.is_over(now_s)


def test_a_look_that_is_a_little_late_is_no_pause() -> None:
    detector = PauseDetector(1.0)
    assert not detector.was_paused(0.0)
    assert not detector.was_paused(5.0)
    assert detector.was_paused(10.5)
    detector.forget()
    assert not detector.was_paused(1000.0)
