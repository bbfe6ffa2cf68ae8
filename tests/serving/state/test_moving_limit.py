# SPDX-License-Identifier: GPL-3.0-only
from hypothesis import given
from hypothesis import strategies as st

from modeld.serving.state.moving_limit import RISE_S, MovingLimit


def seen_by(limit: MovingLimit, *looks: tuple[float, int]) -> list[int]:
    """Return the limit after each look, given as its time and what it has seen."""
    limits = []
    for now_s, seen_bytes in looks:
        before = limit.limit_bytes
        assert limit.see(seen_bytes, now_s) == (limit.limit_bytes != before)
        limits.append(limit.limit_bytes)
    return limits


def test_less_counts_with_the_second_look_that_sees_it() -> None:
    limit = MovingLimit(100, 10)
    assert seen_by(limit, (0, 50)) == [100]
    assert limit.may_fall
    assert seen_by(limit, (1, 60)) == [60]
    assert not limit.may_fall


def test_one_look_that_sees_less_moves_nothing() -> None:
    assert seen_by(MovingLimit(100, 10), (0, 50), (1, 100), (2, 50), (3, 95)) == [100] * 4


def test_more_counts_once_it_has_been_there_for_a_while_and_the_least_of_it() -> None:
    looks = [(0.0, 150), (RISE_S / 2, 130), (RISE_S - 1, 160), (RISE_S, 150)]
    assert seen_by(MovingLimit(100, 10), *looks) == [100, 100, 100, 130]


def test_what_falls_back_begins_anew() -> None:
    looks = [(0.0, 150), (RISE_S - 1, 100), (RISE_S, 150), (2 * RISE_S - 1, 150)]
    assert seen_by(MovingLimit(100, 10), *looks) == [100] * 4


@given(st.lists(st.integers(91, 109)))
def test_what_differs_by_less_than_a_step_moves_nothing(looks: list[int]) -> None:
    limit = MovingLimit(100, 10)
    assert set(seen_by(limit, *enumerate(looks))) <= {100}


@given(st.lists(st.tuples(st.floats(0, 40), st.integers(0, 200)), max_size=50))
def test_the_limit_rises_rarely_and_never_above_what_was_seen(
    looks: list[tuple[float, int]],
) -> None:
    limit = MovingLimit(100, 10)
    now_s, last_rise_s = 0.0, -RISE_S
    for after_s, seen_bytes in looks:
        now_s += after_s
        before = limit.limit_bytes
        limit.see(seen_bytes, now_s)
        if limit.limit_bytes > before:
            assert limit.limit_bytes <= seen_bytes
            assert now_s - last_rise_s >= RISE_S
            last_rise_s = now_s
