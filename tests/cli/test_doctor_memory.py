# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import pytest

from modeld.cli.examination.memory import (
    Memory,
    check_budget,
    check_memory,
    check_needs,
    read_memory,
)
from modeld.settings import Settings
from tests.cli.another_machine import GIB, MIB, bad, catalogue, machine, only

MEMINFO = """\
MemTotal:       16777216 kB
MemFree:         1000000 kB
MemAvailable:    8388608 kB
SwapTotal:       4194304 kB
SwapFree:        4194304 kB
CommitLimit:     9437184 kB
Committed_AS:    8388608 kB
"""
PLENTY = Memory(64 * GIB, 60 * GIB, 0, 0)


def test_memory_is_what_the_kernel_says(tmp_path):
    found = read_memory(machine(tmp_path, {"/proc/meminfo": MEMINFO}))
    assert found == Memory(16 * GIB, 8 * GIB, 4 * GIB, 4 * GIB)


def test_where_the_kernel_does_not_tell_nothing_is_known(tmp_path):
    assert read_memory(machine(tmp_path)) is None


SECOND = {
    "/proc/self/cgroup": "0::/a/b\n",
    "/sys/fs/cgroup/a/b/memory.max": "max\n",
    "/sys/fs/cgroup/a/memory.max": f"{4 * GIB}\n",
    "/sys/fs/cgroup/a/memory.current": f"{3 * GIB}\n",
    "/sys/fs/cgroup/a/memory.stat": f"anon 1\ninactive_file {2 * GIB}\n",
}
FIRST = {
    "/proc/self/cgroup": "5:cpu:/x\n4:memory:/docker/abc\n",
    "/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes": f"{4 * GIB}\n",
    "/sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes": f"{3 * GIB}\n",
    "/sys/fs/cgroup/memory/docker/abc/memory.stat": f"total_inactive_file {2 * GIB}\n",
    "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
}


@pytest.mark.parametrize("files", [SECOND, FIRST], ids=["second version", "first version"])
def test_a_control_groups_limit_is_all_that_there_is(tmp_path, files):
    found = read_memory(machine(tmp_path, {"/proc/meminfo": MEMINFO} | files))
    assert found is not None
    assert (found.total_bytes, found.available_bytes, found.limited) == (4 * GIB, 3 * GIB, True)


def test_a_limit_above_the_machines_memory_does_not_count(tmp_path):
    files = SECOND | {"/sys/fs/cgroup/a/memory.max": f"{99 * GIB}"}
    found = read_memory(machine(tmp_path, {"/proc/meminfo": MEMINFO} | files))
    assert found is not None
    assert (found.total_bytes, found.limited) == (16 * GIB, False)


def test_memory_in_order_is_one_line(tmp_path):
    finding = only(check_memory(PLENTY, machine(tmp_path)))
    assert (finding.level, finding.message) == ("ok", "60.0 GiB of 64.0 GiB available")


def test_swap_that_is_in_use_is_a_warning(tmp_path):
    used = PLENTY._replace(swap_bytes=4 * GIB, swap_free_bytes=GIB)
    finding = only(bad(check_memory(used, machine(tmp_path))))
    assert finding.message.startswith("3.0 GiB of 4.0 GiB are in use")
    unused = used._replace(swap_free_bytes=3 * GIB)
    assert bad(check_memory(unused, machine(tmp_path))) == []


def test_strict_overcommit_is_a_warning_with_what_is_left(tmp_path):
    files = {"/proc/meminfo": MEMINFO, "/proc/sys/vm/overcommit_memory": "2\n"}
    finding = only(bad(check_memory(PLENTY, machine(tmp_path, files))))
    assert "1.0 GiB more" in finding.message
    files["/proc/sys/vm/overcommit_memory"] = "0\n"
    assert bad(check_memory(PLENTY, machine(tmp_path, files))) == []


def budget(mb: int, memory: Memory | None = PLENTY, gpu_bytes: int = 0, margin_mb: int = 0):
    settings = Settings(vram_budget_mb=mb, vram_margin_mb=margin_mb)
    return only(check_budget(settings, memory, gpu_bytes, catalogue(a=1000, b=3000)))


@pytest.mark.parametrize(
    ("finding", "level", "says"),
    [
        (budget(0), "ok", "unlimited"),
        (budget(20_000), "ok", "19.5 GiB; there are 64.0 GiB of main memory"),
        (budget(70_000), "error", "but there are 64.0 GiB of main memory"),
        (budget(65_000), "warning", "nearly all of the 64.0 GiB"),
        (budget(65_000, margin_mb=10_000), "ok", "with a margin of 9.8 GiB"),
        (budget(20_000, PLENTY._replace(available_bytes=GIB)), "warning", "only 1.0 GiB"),
        (budget(0, Memory(4 * GIB, 4 * GIB, 0, 0)), "warning", "all models together need 3.9 GiB"),
        (budget(20_000, gpu_bytes=16 * GIB), "error", "but there are 16.0 GiB of GPU memory"),
        (budget(20_000, None, gpu_bytes=80 * GIB), "ok", "80.0 GiB of GPU memory"),
    ],
)
def test_the_budget_against_what_there_is(finding, level, says):
    assert finding.level == level
    assert says in finding.message
    assert (finding.fix is None) is (level == "ok")


def test_the_fix_of_a_budget_is_a_budget_that_is_fine():
    finding = budget(70_000)
    assert finding.fix is not None
    proposed = int(finding.fix.removeprefix("set vram_budget_mb to ").split()[0])
    assert budget(proposed).level == "ok"
    assert budget(proposed + 2).level == "warning"


def test_where_nothing_is_known_nothing_is_said():
    assert list(check_budget(Settings(), None, 0, catalogue(a=1))) == []


def needs(**settings):
    return list(check_needs(catalogue(a=1000, b=3000), Settings(**settings)))


def test_a_model_that_never_fits_is_an_error_and_its_fix_lets_it_fit():
    finding = only(bad(needs(vram_budget_mb=2000, vram_margin_mb=100)))
    assert (finding.subject, finding.level) == ("b", "error")
    assert "it needs 2.9 GiB (estimated), and the budget without its margin is 1.9 GiB" in (
        finding.message
    )
    assert finding.fix is not None
    proposed = int(finding.fix.removeprefix("set vram_budget_mb to ").split()[0])
    assert bad(needs(vram_budget_mb=proposed, vram_margin_mb=100)) == []


def test_a_model_that_needs_the_whole_budget_fits():
    assert bad(needs(vram_budget_mb=3000)) == []
    assert len(bad(needs(vram_budget_mb=2999))) == 1


@pytest.mark.parametrize(
    ("budget_mb", "says"),
    [(0, "2 models need 3.9 GiB together"), (4000, "at once within 3.9 GiB"), (3500, "take turns")],
)
def test_all_models_together_are_compared_with_the_budget(budget_mb, says):
    finding = only(needs(vram_budget_mb=budget_mb))
    assert finding.level == "ok"
    assert says in finding.message
    assert finding.facts["needs"] == {"a": 1000 * MIB, "b": 3000 * MIB}


def test_models_that_never_fit_do_not_count_among_those_that_take_turns():
    never, turns = needs(vram_budget_mb=2000)
    assert (never.level, turns.level) == ("error", "ok")
    assert turns.message == "one model needs 1000.0 MiB, at once within 2.0 GiB"


def test_without_models_there_are_no_needs():
    assert list(check_needs(catalogue(), Settings(vram_budget_mb=1))) == []
