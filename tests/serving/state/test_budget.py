# SPDX-License-Identifier: GPL-3.0-only
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeld.serving.state.budget import DeviceLimit, Ledger


def test_reservations_add_up_and_leave_the_rest_free() -> None:
    ledger = Ledger(100)
    ledger.reserve("a", 30)
    ledger.reserve("b", 50)

    assert ledger.held_bytes == 80
    assert ledger.main.free_bytes == 20


def test_the_last_byte_can_be_reserved_and_no_more() -> None:
    ledger = Ledger(100)
    ledger.reserve("a", 100)

    assert ledger.main.free_bytes == 0
    with pytest.raises(ValueError, match="1 bytes for b"):
        ledger.reserve("b", 1)
    assert ledger.held_bytes == 100


def test_released_bytes_are_free_again() -> None:
    ledger = Ledger(100)
    reservation = ledger.reserve("a", 100)

    reservation.release()

    assert ledger.held_bytes == 0
    assert ledger.main.free_bytes == 100


def test_a_reservation_is_released_once() -> None:
    reservation = Ledger(100).reserve("a", 100)
    reservation.release()

    with pytest.raises(KeyError):
        reservation.release()


def test_a_reservation_grows_into_what_is_free_and_no_further() -> None:
    ledger = Ledger(100)
    ledger.reserve("other", 40)
    reservation = ledger.reserve("a", 30)

    assert reservation.can_grow_to(60)
    assert not reservation.can_grow_to(61)
    with pytest.raises(ValueError, match="a cannot grow to 61 bytes"):
        reservation.grow_to(61)
    assert reservation.size_bytes == 30
    reservation.grow_to(60)
    assert ledger.main.free_bytes == 0


def test_a_reservation_never_shrinks() -> None:
    ledger = Ledger(100)
    reservation = ledger.reserve("a", 30)

    reservation.grow_to(10)

    assert ledger.held_bytes == 30


def test_without_a_limit_everything_fits() -> None:
    ledger = Ledger(None)
    reservation = ledger.reserve("a", 1 << 60)
    reservation.grow_to(1 << 61)

    assert ledger.main.free_bytes == math.inf
    assert ledger.held_bytes == 1 << 61
    assert ledger.can_ever_hold(1 << 62)


def test_what_may_ever_fit_does_not_depend_on_what_is_held_now() -> None:
    ledger = Ledger(100)
    ledger.reserve("a", 99)

    assert ledger.can_ever_hold(100)
    assert not ledger.can_ever_hold(101)


def test_a_limit_that_falls_takes_nothing_away_and_gives_nothing_out() -> None:
    ledger = Ledger(DeviceLimit(100, most_bytes=120))
    reservation = ledger.reserve("a", 80)

    ledger.move_limit(50, "others use the rest")

    assert (ledger.held_bytes, ledger.main.free_bytes) == (80, -30)
    reservation.grow_to(80)
    with pytest.raises(ValueError, match="a cannot grow to 81 bytes"):
        reservation.grow_to(81)
    with pytest.raises(ValueError, match="0 bytes for b"):
        ledger.reserve("b", 0)
    reservation.release()
    assert ledger.main.free_bytes == 50


def test_what_fits_now_is_less_than_what_may_ever_fit() -> None:
    ledger = Ledger(DeviceLimit(100, most_bytes=120))
    ledger.move_limit(50, "others use the rest")

    assert [ledger.can_hold_now(size) for size in (50, 51, 121)] == [True, False, False]
    assert [ledger.can_ever_hold(size) for size in (51, 120, 121)] == [True, True, False]


@pytest.mark.parametrize(
    "ledger", [Ledger(each) for each in (100, None, DeviceLimit(50, most_bytes=100))]
)
def test_a_limit_moves_only_where_it_was_made_to_and_as_far(ledger: Ledger) -> None:
    with pytest.raises(ValueError, match="cannot become 101"):
        ledger.move_limit(101, "a mistake")


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 60)), max_size=40))
def test_held_and_free_bytes_are_always_the_whole_limit(steps: list[tuple[bool, int]]) -> None:
    ledger = Ledger(100)
    held = []
    for take, size_bytes in steps:
        if take and size_bytes <= ledger.main.free_bytes:
            held.append(ledger.reserve("x", size_bytes))
        elif held:
            held.pop(size_bytes % len(held)).release()
        assert ledger.held_bytes + ledger.main.free_bytes == 100
        assert 0 <= ledger.held_bytes == sum(reservation.size_bytes for reservation in held)


def test_what_lives_in_free_bytes_is_told_whenever_these_change() -> None:
    ledger = Ledger(DeviceLimit(100, most_bytes=100))
    told: list[tuple[str, float]] = []
    ledger.on_taken = lambda owner: told.append((owner, ledger.main.free_bytes))
    reservation = ledger.reserve("a", 60)
    reservation.grow_to(70)
    ledger.move_limit(90, "less")
    reservation.release()
    assert told == [("a", 40), ("a", 30), ("", 20), ("", 90)]
