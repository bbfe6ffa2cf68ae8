# SPDX-License-Identifier: GPL-3.0-only
"""Limits, processors and surroundings, as ``modeld doctor`` sees them."""

from __future__ import annotations

import pytest

from modeld.cli.examination.limits import check_address_space, check_limits
from modeld.cli.examination.machine import Machine
from modeld.cli.examination.processors import (
    Processors,
    check_load,
    check_processors,
    check_threads,
    read_processors,
)
from modeld.cli.examination.surroundings import check_clock, check_container, check_manager
from modeld.settings import Settings
from tests.cli.another_machine import GIB, MIB, bad, by_subject, catalogue, limits, machine, only

FOUR = Processors(4, 4, 4, None)


def test_without_limits_there_is_nothing_to_do(tmp_path):
    assert bad(check_limits(Settings(), machine(tmp_path))) == []


@pytest.mark.parametrize(
    ("given", "subject", "says"),
    [
        ({"NOFILE": (256, 1024)}, "open files", "1024 are allowed (ulimit -Hn)"),
        ({"NPROC": (100, 100)}, "processes", "100 processes and threads"),
        ({"CORE": (GIB, GIB)}, "core dumps", "prompts and keys"),
    ],
)
def test_a_limit_that_is_too_low_or_too_high_is_a_warning(tmp_path, given, subject, says):
    finding = only(bad(check_limits(Settings(), machine(tmp_path, limit=limits(**given)))))
    assert (finding.subject, finding.level) == (subject, "warning")
    assert says in finding.message


def test_a_soft_limit_of_open_files_is_raised_by_the_server_itself(tmp_path):
    here = machine(tmp_path, limit=limits(NOFILE=(1024, 1 << 20), MEMLOCK=(8 * MIB, 8 * MIB)))
    found = by_subject(check_limits(Settings(), here))
    assert found["open files"].level == "ok"
    assert "the server raises that" in found["open files"].message
    assert found["locked memory"].facts["memlock_bytes"] == 8 * MIB
    unlimited = by_subject(check_limits(Settings(), machine(tmp_path)))["locked memory"]
    assert unlimited.facts["memlock_bytes"] is None


@pytest.mark.parametrize(
    ("limit_gib", "worker_mb", "level"),
    [(8, 0, "ok"), (2, 0, "error"), (None, 2000, "error"), (None, 9000, "ok")],
)
def test_a_worker_needs_addresses_for_its_model(tmp_path, limit_gib, worker_mb, level):
    given = limits(AS=(limit_gib * GIB,) * 2) if limit_gib else limits()
    here = machine(tmp_path, limit=given)
    settings = Settings(worker_memory_mb=worker_mb)
    finding = only(check_address_space(settings, here, catalogue(small=100, large=4000)))
    assert finding.level == level
    assert ("large" in finding.message) is (level == "error")


def test_any_addresses_are_enough_without_a_limit(tmp_path):
    assert list(check_address_space(Settings(), machine(tmp_path), catalogue(a=1))) == []


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


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({}, "does not run in a unit"),
        ({"INVOCATION_ID": "1"}, "without a notify socket"),
        ({"NOTIFY_SOCKET": "/x", "INVOCATION_ID": "1"}, "with a notify socket"),
    ],
)
def test_it_is_known_whether_systemd_has_started_this(tmp_path, environ, says):
    finding = only(check_manager(machine(tmp_path, environ=environ)))
    assert says in finding.message


@pytest.mark.parametrize(
    ("files", "environ", "kind"),
    [
        ({}, {}, None),
        ({"/.dockerenv": ""}, {}, "Docker"),
        ({"/run/.containerenv": ""}, {}, "Podman"),
        ({}, {"container": "systemd-nspawn"}, "systemd-nspawn"),
        ({"/.dockerenv": ""}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "Kubernetes"),
        ({"/proc/1/cgroup": "0::/kubepods.slice/x\n"}, {}, "kubepods"),
    ],
)
def test_a_container_is_known_for_one(tmp_path, files, environ, kind):
    files = {"/dev/shm/x": "", "/proc/self/stat": "1"} | files
    finding = only(check_container(machine(tmp_path, files, environ=environ)))
    assert (finding.level, finding.facts["container"]) == ("ok", kind)


def test_what_a_container_lacks_is_a_warning(tmp_path):
    (tmp_path / "proc").mkdir()
    shared, proc = bad(check_container(machine(tmp_path)))
    assert "/dev/shm" in shared.message
    assert (proc.subject, "not mounted" in proc.message) == ("/proc", True)


@pytest.mark.parametrize(("now", "level"), [(0.0, "warning"), (1_800_000_000.0, "ok")])
def test_a_clock_from_before_modeld_is_a_warning(tmp_path, now, level):
    assert only(check_clock(machine(tmp_path, now_unix=lambda: now))).level == level


def test_what_cannot_be_read_is_nothing(tmp_path):
    here = machine(tmp_path, {"/number": "12\n", "/word": "max\n", "/rows": "a: 1\na: 2\nb\n"})
    assert (here.text("/none"), here.number("/none"), here.table("/none")) == ("", None, {})
    assert (here.number("/number"), here.number("/word")) == (12, None)
    assert here.table("/rows") == {"a": "1"}


def test_this_machine_can_be_read():
    here = Machine()
    assert read_processors(here).logical >= 1
    assert bad(check_clock(here)) == []
