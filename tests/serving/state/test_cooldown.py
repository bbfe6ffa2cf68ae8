# SPDX-License-Identifier: GPL-3.0-only
import pytest

from modeld.serving.state.cooldown import FIRST_S, LONGEST_S, Cooldown


def test_at_first_there_is_nothing_to_wait_for() -> None:
    assert Cooldown().remaining_s(0.0) == 0.0


def test_a_failure_stays_on_record_until_work_goes_well() -> None:
    cooldown = Cooldown()
    assert not cooldown.has_record
    cooldown.crashed(0.0)
    assert cooldown.has_record
    cooldown.worked(LONGEST_S)
    assert not cooldown.has_record


def test_failed_loads_are_waited_for_twice_as_long_each_time_up_to_a_bound() -> None:
    cooldown = Cooldown()

    waits = [cooldown.load_failed(0.0) for _ in range(6)]

    assert waits == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0]
    assert (waits[0], waits[-1]) == (FIRST_S, LONGEST_S)


def test_a_first_crash_costs_nothing_and_the_next_ones_do() -> None:
    cooldown = Cooldown()

    assert [cooldown.crashed(0.0) for _ in range(4)] == [0.0, 5.0, 10.0, 20.0]


def test_crashes_and_failed_loads_add_up() -> None:
    cooldown = Cooldown()

    assert cooldown.crashed(0.0) == 0.0
    assert cooldown.load_failed(0.0) == 10.0
    assert cooldown.crashed(0.0) == 10.0


def test_work_that_went_well_ends_it() -> None:
    cooldown = Cooldown()
    for _ in range(5):
        cooldown.load_failed(0.0)

    cooldown.worked(LONGEST_S)

    assert cooldown.crashed(100.0) == 0.0
    assert cooldown.load_failed(100.0) == 10.0


def test_a_good_response_between_crashes_does_not_end_it() -> None:
    cooldown = Cooldown()
    waits_s = []
    for second in range(3):
        waits_s.append(cooldown.crashed(float(second)))
        cooldown.worked(second + 0.5)

    assert waits_s == [0.0, 5.0, 10.0]


def test_the_wait_runs_out_with_the_clock() -> None:
    cooldown = Cooldown()
    cooldown.load_failed(100.0)

    assert cooldown.remaining_s(100.0) == 5.0
    assert cooldown.remaining_s(103.0) == 2.0
    assert cooldown.remaining_s(105.0) == 0.0
    assert cooldown.remaining_s(1000.0) == 0.0


@pytest.mark.parametrize("failures", [40, 2000])
def test_many_failures_are_no_overflow(failures: int) -> None:
    cooldown = Cooldown()

    assert [cooldown.load_failed(0.0) for _ in range(failures)][-1] == LONGEST_S
