# SPDX-License-Identifier: GPL-3.0-only
import math

import pytest

from modeld.device_bytes import DeviceBytes
from modeld.serving.state.memory_need import MemoryNeed

NOW_S = 1000.0


def test_the_larger_of_estimate_and_what_was_held_counts() -> None:
    need = MemoryNeed(100)
    assert need.size_bytes == 100
    need.held = DeviceBytes(150)
    assert need.size_bytes == 150
    need.held = DeviceBytes(50)
    assert need.size_bytes == 100


@pytest.mark.parametrize(("free", "is_open"), [(124, True), (125, False), (0, True), (-1, True)])
def test_only_an_estimate_that_does_not_clearly_fit_leaves_it_open(
    free: float, is_open: bool
) -> None:
    assert MemoryNeed(100, is_measurable=True).is_open(DeviceBytes(free), NOW_S) is is_open


def test_nothing_is_open_where_nothing_can_be_measured_or_nothing_is_limited() -> None:
    assert not MemoryNeed(100).is_open(DeviceBytes(0), NOW_S)
    assert not MemoryNeed(100, is_measurable=True).is_open(DeviceBytes(math.inf), NOW_S)


@pytest.mark.parametrize(("measured", "size"), [(80, 80), (120, 120), (None, 100)])
def test_what_was_measured_takes_the_estimates_place_and_settles_it(
    measured: int | None, size: int
) -> None:
    need = MemoryNeed(100, is_measurable=True)
    need.begin_measuring()
    assert need.is_being_measured
    assert need.is_open(DeviceBytes(1000), NOW_S), "whoever has begun to measure waits for the end"

    need.settle(measured)

    assert need.size_bytes == size
    assert not need.is_open(DeviceBytes(0), NOW_S)


def test_what_the_model_held_once_counts_more_than_any_measurement_without_a_load() -> None:
    need = MemoryNeed(100, is_measurable=True)
    need.held = DeviceBytes(90)
    assert not need.is_open(DeviceBytes(0), NOW_S)
    need.settle(80)
    assert need.size_bytes == 90


def test_what_could_not_be_measured_counts_as_estimated_until_it_may_be_tried_again() -> None:
    need = MemoryNeed(100, is_measurable=True)
    need.begin_measuring()
    need.reopen(NOW_S + 5)

    assert not need.is_being_measured
    assert not need.is_open(DeviceBytes(0), NOW_S + 4.9)
    assert need.size_bytes == 100
    assert need.is_open(DeviceBytes(0), NOW_S + 5)
    assert not need.is_open(DeviceBytes(125), NOW_S + 5)
