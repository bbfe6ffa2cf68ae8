# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import os
from pathlib import Path

import pytest
from modeld_llama_cpp.native.cores import usable_cores


@pytest.fixture
def eight_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_this_machine_has_at_least_one_and_at_most_its_processors() -> None:
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


@pytest.mark.usefixtures("eight_processors")
def test_without_any_information_every_processor_is_a_core(tmp_path: Path) -> None:
    assert usable_cores(tmp_path) == 8


@pytest.mark.usefixtures("eight_processors")
def test_two_threads_of_a_core_count_once(tmp_path: Path) -> None:
    for cpu in range(8):
        folder = tmp_path / f"sys/devices/system/cpu/cpu{cpu}/topology"
        write(folder / "thread_siblings_list", f"{cpu % 4},{cpu % 4 + 4}\n")
    assert usable_cores(tmp_path) == 4


def test_only_processors_that_the_process_may_use_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    assert usable_cores(tmp_path) == 2


@pytest.mark.usefixtures("eight_processors")
@pytest.mark.parametrize(
    ("limit", "cores"), [("300000 100000", 3), ("250000 100000", 2), ("max 100000", 8)]
)
def test_a_quota_of_the_control_group_counts(tmp_path: Path, limit: str, cores: int) -> None:
    write(tmp_path / "proc/self/cgroup", "0::/system.slice/modeld.service\n")
    write(tmp_path / "sys/fs/cgroup/system.slice/modeld.service/cpu.max", f"{limit}\n")
    assert usable_cores(tmp_path) == cores


@pytest.mark.usefixtures("eight_processors")
def test_a_quota_of_a_group_further_up_counts(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "0::/a/b\n")
    write(tmp_path / "sys/fs/cgroup/a/cpu.max", "200000 100000\n")
    assert usable_cores(tmp_path) == 2


@pytest.mark.usefixtures("eight_processors")
def test_a_quota_below_one_core_leaves_one(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "0::/\n")
    write(tmp_path / "sys/fs/cgroup/cpu.max", "50000 100000\n")
    assert usable_cores(tmp_path) == 1


@pytest.mark.usefixtures("eight_processors")
def test_a_quota_of_a_first_version_group_counts(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "5:memory:/x\n4:cpu,cpuacct:/docker/abc\n")
    write(tmp_path / "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us", "400000\n")
    write(tmp_path / "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us", "100000\n")
    assert usable_cores(tmp_path) == 4
