# SPDX-License-Identifier: GPL-3.0-only

from __future__ import annotations

import pytest

from modeld.doctor.processors import (
    Processors,
    check_load,
    check_processors,
    check_threads,
    read_processors,
)
from modeld.machine.files import Machine
from modeld.settings import Settings
from tests.support.doctor.another_machine import (
    bad,
    by_subject,
    machine,
    only,
)

FOUR = Processors(4, 4, 4, None)


def topology(count: int, cores: int) -> dict[str, str]:
    return {
        f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list": f"{cpu % cores}"
        for cpu in range(count)
    } | {"/sys/devices/system/cpu/online": f"0-{count - 1}\n"}


def test_two_processors_of_a_core_are_one_core(tmp_path):
    here = machine(tmp_path, topology(8, 4), allowed_cpus=lambda: range(8))
    assert read_processors(here) == Processors(8, 4, 8, None)


def test_without_a_topology_every_processor_is_a_core(tmp_path):
    assert read_processors(machine(tmp_path)) == FOUR


@pytest.mark.parametrize(
    "files",
    [
        {"/proc/self/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/cpu.max": "150000 100000\n"},
        {
            "/proc/self/cgroup": "3:cpu,cpuacct:/x\n",
            "/sys/fs/cgroup/cpu/x/cpu.cfs_quota_us": "150000",
            "/sys/fs/cgroup/cpu/x/cpu.cfs_period_us": "100000",
        },
    ],
    ids=["second version", "first version"],
)
def test_a_control_groups_quota_counts(tmp_path, files):
    found = read_processors(machine(tmp_path, files))
    assert found.quota == found.usable == 1.5


def test_processors_are_named_with_what_limits_them(tmp_path):
    files = {"/proc/cpuinfo": "model name\t: EPYC\nflags\t\t: fpu hypervisor\n"}
    found = by_subject(check_processors(Processors(8, 4, 16, 2.0), machine(tmp_path, files)))
    assert found["processors"].message == "4 cores, 8 processors, EPYC, in a virtual machine"
    assert found["affinity"].message == "this process may use 8 of 16 (affinity)"
    assert found["cpu quota"].level == "ok"


def test_less_than_one_processor_is_a_warning(tmp_path):
    found = check_processors(FOUR._replace(quota=0.5), machine(tmp_path))
    assert "0.5 of one processor" in only(bad(found)).message


@pytest.mark.parametrize(
    ("row", "quota", "says"),
    [
        ({"threads": 4}, None, None),
        ({"threads": 5}, None, "threads is 5, more than the cores (4)"),
        ({"threads": 4}, 2.5, "threads is 4, more than the control group's quota (2.5)"),
        ({"threads_batch": 8}, None, "threads_batch is 8"),
        ({"slots": 8}, 1.0, None),
    ],
)
def test_more_threads_than_cores_are_a_warning(row, quota, says):
    found = list(check_threads(FOUR._replace(quota=quota), Settings(models={"*": row})))
    assert [says in finding.message for finding in found] == ([True] if says else [])


def test_a_quiet_machine_is_fine(tmp_path):
    files = {"/proc/loadavg": "0.50 1 1 1/2 3", "/proc/stat": "cpu 10 0 10 80 0 0 0 1 0 0\n"}
    assert only(check_load(FOUR, machine(tmp_path, files))).level == "ok"
    assert list(check_load(FOUR, machine(tmp_path / "silent"))) == []


@pytest.mark.parametrize(
    ("files", "subject"),
    [
        ({"/proc/loadavg": "5.50 1 1 1/2 3"}, "load"),
        ({"/proc/stat": "cpu 10 0 10 70 0 0 0 10 0 0\n"}, "stolen time"),
        ({"/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave"}, "governor"),
    ],
)
def test_what_slows_the_processors_down_is_a_warning(tmp_path, files, subject):
    finding = only(bad(check_load(FOUR, machine(tmp_path, files))))
    assert (finding.subject, finding.level) == (subject, "warning")


def test_a_driver_that_scales_by_itself_may_save_power(tmp_path):
    folder = "/sys/devices/system/cpu/cpu0/cpufreq"
    files = {
        f"{folder}/scaling_governor": "powersave",
        f"{folder}/scaling_driver": "intel_pstate",
    }
    assert list(check_load(FOUR, machine(tmp_path, files))) == []


def test_this_machine_has_processors():
    assert read_processors(Machine()).logical >= 1
