# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modeld.machine.auto_budget import (
    UNKNOWN,
    auto_budget,
    margin_bytes,
    read_auto_budget,
    taken_bytes,
)
from modeld.machine.files import Machine
from modeld.machine.memory import Memory
from tests.support.doctor.another_machine import GIB, MIB, machine

MEMINFO = "MemTotal: 16777216 kB\nMemAvailable: 8388608 kB\n"


def worker(anonymous_mb: int, *, shared_mb: int = 0, mapped_mb: int = 0, locked_mb: int = 0) -> str:
    """Return what the system says of a process."""
    rows = {"RssAnon": anonymous_mb, "RssFile": mapped_mb, "RssShmem": shared_mb}
    rows |= {"VmLck": locked_mb, "VmRSS": anonymous_mb + mapped_mb + shared_mb}
    return "".join(f"{name}:\t{size << 10} kB\n" for name, size in rows.items())


@pytest.mark.parametrize(
    ("total", "margin"),
    [
        (GIB, GIB // 4),
        (2 * GIB, 512 * MIB),
        (4 * GIB, 512 * MIB),
        (40 * GIB, 4 * GIB),
    ],
)
def test_a_tenth_stays_free_and_in_small_machines_more_but_never_most(total, margin):
    assert margin_bytes(total) == margin


def test_models_may_have_what_others_leave():
    budget = auto_budget(Memory(20 * GIB, 12 * GIB, 0, 0), models_bytes=3 * GIB)
    assert budget.size_bytes == 20 * GIB - 5 * GIB - 2 * GIB
    assert budget.most_bytes == 18 * GIB
    assert budget.said == (
        "auto: 20480 MiB of main memory, less 5120 MiB that others use and a margin of 2048 MiB"
    )


def test_the_limit_of_a_control_group_is_named():
    budget = auto_budget(Memory(20 * GIB, 12 * GIB, 0, 0, limited=True), 0)
    assert "of main memory (limit of the control group), less" in budget.said


def test_where_others_have_taken_all_nothing_is_left_and_no_debt():
    assert auto_budget(Memory(20 * GIB, GIB, 0, 0), 0).size_bytes == 0


def test_what_other_servers_have_promised_counts_though_it_is_available():
    memory = Memory(20 * GIB, 20 * GIB, 0, 0)
    assert auto_budget(memory, 0, hidden_bytes=4 * GIB).size_bytes == 14 * GIB


@given(
    total=st.integers(1, 1 << 45),
    available=st.integers(0, 1 << 45),
    models=st.integers(0, 1 << 45),
)
def test_the_budget_is_never_negative_and_never_more_than_it_may_be(total, available, models):
    budget = auto_budget(Memory(total, min(available, total), 0, 0), models)
    assert budget.size_bytes is not None
    assert budget.most_bytes is not None
    assert 0 <= budget.size_bytes <= budget.most_bytes == total - budget.margin_bytes


@given(anonymous=st.integers(0, 8), mapped=st.integers(0, 8))
def test_a_model_that_is_loaded_moves_nothing(anonymous, mapped):
    """Whatever part of it is mapped: only the rest is missing in what is available."""
    before = auto_budget(Memory(32 * GIB, 20 * GIB, 0, 0), 0)
    after = Memory(32 * GIB, (20 - anonymous) * GIB, 0, 0)
    held = (anonymous + mapped) * GIB
    assert auto_budget(after, min(held, anonymous * GIB)) == before


def test_what_a_worker_holds_is_read_without_what_the_system_can_take_back(tmp_path):
    here = machine(
        tmp_path,
        {
            "/proc/7/status": worker(100, shared_mb=20, mapped_mb=4000),
            "/proc/8/status": worker(50, mapped_mb=300, locked_mb=200),
        },
    )
    assert taken_bytes(here, [7]) == 120 * MIB
    assert taken_bytes(here, [7, 8, 9]) == (120 + 250) * MIB


def test_where_the_system_does_not_tell_there_is_no_budget(tmp_path):
    assert read_auto_budget(machine(tmp_path)) is UNKNOWN


def test_this_machine_can_be_read():
    assert read_auto_budget(Machine()).said.startswith("auto: ")
