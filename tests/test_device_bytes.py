# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeld.device_bytes import NOTHING, UNLIMITED, DeviceBytes
from modeld.plugins.guard import PluginFault, on_gpus

SIZES = st.builds(
    DeviceBytes,
    st.integers(0, 100),
    st.dictionaries(st.sampled_from(["gpu0", "gpu1", "gpu2"]), st.integers(0, 100)),
)


@given(SIZES, SIZES)
def test_what_is_added_and_taken_away_again_is_what_it_was(
    one: DeviceBytes, two: DeviceBytes
) -> None:
    assert one + two - two == one
    assert (one + two).total_bytes == one.total_bytes + two.total_bytes
    assert hash(one + two - two) == hash(one)


@given(SIZES, SIZES)
def test_what_fits_lacks_nothing_and_what_lacks_something_does_not_fit(
    size: DeviceBytes, free: DeviceBytes
) -> None:
    assert size.fits_within(free) is not bool(size.beyond(free))
    assert size.fits_within(free + size.beyond(free))
    assert size.fits_within(size.larger(free))


@given(SIZES)
def test_everything_fits_where_nothing_is_limited_and_nothing_fits_anywhere(
    size: DeviceBytes,
) -> None:
    assert size.fits_within(UNLIMITED)
    assert NOTHING.fits_within(size)
    assert UNLIMITED - size == UNLIMITED


def test_a_gpu_of_which_nothing_is_wanted_may_be_over_its_limit() -> None:
    free = DeviceBytes(5, {"gpu0": -7}, math.inf)
    assert DeviceBytes(5, {"gpu0": 0, "gpu1": 9}).fits_within(free)
    assert not DeviceBytes(5, {"gpu0": 1}).fits_within(free)
    assert not DeviceBytes(0).fits_within(DeviceBytes(-1))


@pytest.mark.parametrize(
    ("total", "placed", "main"), [(10, {}, 10), (10, {"gpu0": 4}, 6), (10, {"gpu0": 14}, 0)]
)
def test_what_is_not_on_a_gpu_is_in_main_memory(
    total: int, placed: dict[str, int], main: int
) -> None:
    split = DeviceBytes.split(total, placed)
    assert (split.main, split.on_gpus) == (main, placed)


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ([1], "which is not a table of bytes by GPU"),
        ({"CUDA0": 1}, "names .*CUDA0.*; a GPU is gpu0, gpu1 and so on"),
        ({0: 1}, "a GPU is gpu0"),
        ({"gpu0": -1}, "gpu0 is -1; it must be from 0"),
        ({"gpu0": 6, "gpu1": 5}, "it is more than the 10 bytes of the whole"),
    ],
)
def test_what_a_backend_says_of_gpus_is_checked(said: object, fault: str) -> None:
    with pytest.raises(PluginFault, match=fault):
        on_gpus("it", said, 10)


def test_gpus_that_have_nothing_are_left_out() -> None:
    assert on_gpus("it", {"gpu0": 0, "gpu12": 5}, 10) == {"gpu12": 5}


def test_a_gpu_of_which_nothing_is_wanted_lacks_nothing() -> None:
    need = DeviceBytes(1, {"gpu0": 50, "gpu2": 0})
    free = DeviceBytes(100, {"gpu0": 60, "gpu1": -5, "gpu2": -7}, math.inf)
    assert need.fits_within(free)
    assert not need.beyond(free)
    assert DeviceBytes(1, {"gpu1": 2}).beyond(free) == DeviceBytes(0, {"gpu1": 7})


def test_what_is_within_a_limit_is_counted_on_each_device() -> None:
    most = DeviceBytes(100, {"gpu0": 40, "gpu1": -1}, math.inf)
    assert DeviceBytes(1, {"gpu0": 50, "gpu1": 3, "gpu7": 9}).within(most) == 1 + 40 + 9
    assert DeviceBytes(300).within(most) == 100


@pytest.mark.parametrize("left", [0, -5, 3])
def test_what_is_left_of_a_gpu_without_free_bytes_is_nothing_and_not_any_amount(left: int) -> None:
    free = DeviceBytes(10, {"gpu0": left}, rest=math.inf)
    set_aside = DeviceBytes(1, {"gpu0": 3})
    assert not DeviceBytes(1, {"gpu0": 1}).fits_within(free.beyond(set_aside))
    assert DeviceBytes(1, {"gpu1": 1}).fits_within(free.beyond(set_aside))
