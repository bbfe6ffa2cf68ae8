# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from modeld.httpapi.server.capacity import ACCEPTS, RESERVE, Capacity, capacity, wanted_files


def test_where_files_suffice_all_connections_are_taken() -> None:
    full = Capacity(connections=2048, reserve=RESERVE, accepts=ACCEPTS)
    for limit in (None, wanted_files(2048), 1 << 20):
        assert capacity(2048, limit) == full


@given(wanted=st.integers(1, 100_000), limit=st.integers(128, 1 << 20))
def test_what_is_taken_always_leaves_files_for_the_rest(wanted: int, limit: int) -> None:
    fits = capacity(wanted, limit)
    assert 1 <= fits.connections <= wanted
    assert fits.reserve >= 1
    assert fits.accepts >= 1
    left = limit - fits.connections - fits.reserve - fits.accepts
    assert left >= min(48, limit // 4)
    assert fits.connections == wanted or limit < wanted_files(wanted)


@given(wanted=st.integers(1, 100_000), limit=st.integers(128, 1 << 16))
def test_more_files_never_mean_fewer_connections(wanted: int, limit: int) -> None:
    fewer, more = capacity(wanted, limit), capacity(wanted, limit + 1)
    assert fewer.connections <= more.connections + 2  # the other parts grow in steps
