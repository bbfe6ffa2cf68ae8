# SPDX-License-Identifier: GPL-3.0-only
import math

import pytest

from modeld.serving.need import Need


def test_the_larger_of_estimate_and_what_was_held_counts() -> None:
    need = Need(100)
    assert need.size_bytes == 100
    need.held_bytes = 150
    assert need.size_bytes == 150
    need.held_bytes = 50
    assert need.size_bytes == 100


@pytest.mark.parametrize(("free", "is_open"), [(124, True), (125, False), (0, True), (-1, True)])
def test_only_an_estimate_that_does_not_clearly_fit_leaves_it_open(
    free: float, is_open: bool
) -> None:
    assert Need(100, is_measurable=True).is_open(free) is is_open


def test_nothing_is_open_where_nothing_can_be_measured_or_nothing_is_limited() -> None:
    assert not Need(100).is_open(0)
    assert not Need(100, is_measurable=True).is_open(math.inf)


@pytest.mark.parametrize(("measured", "size"), [(80, 80), (120, 120), (None, 100)])
def test_what_was_measured_takes_the_estimates_place_and_settles_it(
    measured: int | None, size: int
) -> None:
    need = Need(100, is_measurable=True)
    need.is_being_measured = True
    assert need.is_open(1000), "whoever has begun to measure waits for the end"

    need.settle(measured)

    assert need.size_bytes == size
    assert not need.is_open(0)


def test_what_the_model_held_once_counts_more_than_any_measurement_without_a_load() -> None:
    need = Need(100, is_measurable=True)
    need.held_bytes = 90
    assert not need.is_open(0)
    need.settle(80)
    assert need.size_bytes == 90
