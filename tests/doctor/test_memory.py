# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from dataclasses import replace

import pytest

from modeld.device_bytes import DeviceBytes
from modeld.doctor.memory import check_budget, check_gpus, check_memory, check_needs
from modeld.machine.auto_budget import UNKNOWN as NO_AUTO
from modeld.machine.auto_budget import AutoBudget
from modeld.machine.memory import UNKNOWN, Capacity, Memory
from modeld.serving.state.budget import DeviceLimit, Ledger
from modeld.settings import Settings
from modeld.values import FitStep, MemoryEstimate
from tests.support.doctor.another_machine import GIB, MEMINFO, MIB, bad, machine, only, stocked
from tests.support.plugins.some_plugins import Thing

PLENTY = Memory(64 * GIB, 60 * GIB, 0, 0)


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


def budget(mb: int, memory: Memory | None = PLENTY, margin_mb: int = 0):
    settings = Settings(memory_budget_mb=mb, memory_margin_mb=margin_mb)
    return only(check_budget(settings, memory, stocked(a=1000, b=3000), None))


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
    ],
)
def test_the_budget_against_what_there_is(finding, level, says):
    assert finding.level == level
    assert says in finding.message
    assert (finding.fix is None) is (level == "ok")


def test_the_fix_of_a_budget_is_a_budget_that_is_fine():
    finding = budget(70_000)
    assert finding.fix is not None
    proposed = int(finding.fix.removeprefix("set memory_budget_mb to ").split()[0])
    assert budget(proposed).level == "ok"
    assert budget(proposed + 2).level == "warning"


def test_where_nothing_is_known_nothing_is_said():
    settings = Settings(memory_budget_mb=0)
    assert list(check_budget(settings, None, stocked(a=1), None)) == []


def an_auto(size_mb: int, most_mb: int) -> AutoBudget:
    return AutoBudget(size_mb * MIB, most_mb * MIB, 512 * MIB, "auto: others use the rest")


@pytest.mark.parametrize(
    ("auto", "level", "says"),
    [
        (an_auto(3000, 4000), "ok", "2.9 GiB now (auto: others use the rest)"),
        (an_auto(2999, 4000), "warning", "and b needs 2.9 GiB"),
        (an_auto(500, 2999), "ok", "500.0 MiB now"),
        (NO_AUTO, "warning", "unlimited, because the system does not tell"),
    ],
)
def test_a_budget_that_the_machine_says_is_told_with_how_it_came_about(auto, level, says):
    finding = only(check_budget(Settings(), PLENTY, stocked(a=1000, b=3000), auto))
    assert finding.level == level
    assert says in finding.message
    assert (finding.fix is None) is (level == "ok")


def test_what_the_machine_could_never_give_is_an_error_that_names_no_setting():
    ledger = Ledger(DeviceLimit(400 * MIB, most_bytes=2900 * MIB))
    never, rest = check_needs(stocked(a=1000, b=3000), Settings(memory_margin_mb=100), ledger)
    assert (never.subject, never.level, rest.level) == ("b", "error", "ok")
    assert never.fix == "give the model a smaller context, or take a smaller quantisation of it"


def needs(**settings):
    return list(check_needs(stocked(a=1000, b=3000), Settings(**settings), a_ledger(**settings)))


def a_ledger(memory_budget_mb=0, memory_margin_mb=0, capacity=UNKNOWN, gpus=()):
    limit_bytes = (memory_budget_mb - memory_margin_mb) * MIB or None
    return Ledger(DeviceLimit(limit_bytes, capacity), {each.device: each for each in gpus})


def test_a_model_that_never_fits_is_an_error_and_its_fix_lets_it_fit():
    finding = only(bad(needs(memory_budget_mb=2000, memory_margin_mb=100)))
    assert (finding.subject, finding.level) == ("b", "error")
    assert "it needs 2.9 GiB (estimated), and the budget without its margin is 1.9 GiB" in (
        finding.message
    )
    assert finding.fix is not None
    proposed = int(finding.fix.removeprefix("set memory_budget_mb to ").split()[0])
    assert bad(needs(memory_budget_mb=proposed, memory_margin_mb=100)) == []


class Shrinking(Thing):
    """Needs a third with one slot."""

    def estimate(self, spec, options):
        return MemoryEstimate(weights_bytes=(1000 if options.slots == 1 else 3000) << 20)

    def fit_steps(self, spec, options, fixed, most_bytes):
        return [FitStep(name="slots", gives_up="one slot in place of two", changes={"slots": 1})]


def test_a_model_that_fits_with_less_is_a_warning_that_says_with_what():
    stock = stocked(b=3000)
    shrinking = {"b": replace(stock.loadable["b"], backend=Shrinking(loads=True))}
    stock = replace(stock, loadable=shrinking)
    finding = only(check_needs(stock, Settings(), a_ledger(memory_budget_mb=2000)))
    assert (finding.subject, finding.level) == ("b", "warning")
    assert "to fit, it is loaded with one slot in place of two" in finding.message
    for settings, budget_mb in ((Settings(fit=False), 2000), (Settings(), 900)):
        finding = only(check_needs(stock, settings, a_ledger(memory_budget_mb=budget_mb)))
        assert finding.level == "error"


def test_a_model_that_needs_the_whole_budget_fits():
    assert bad(needs(memory_budget_mb=3000)) == []
    assert len(bad(needs(memory_budget_mb=2999))) == 1


@pytest.mark.parametrize(
    ("budget_mb", "says"),
    [
        (0, "2 models need 3.9 GiB together"),
        (4000, "at once within 3.9 GiB"),
        (3500, "some at a time"),
    ],
)
def test_all_models_together_are_compared_with_the_budget(budget_mb, says):
    finding = only(needs(memory_budget_mb=budget_mb))
    assert finding.level == "ok"
    assert says in finding.message
    assert finding.facts["needs"] == {"a": 1000 * MIB, "b": 3000 * MIB}


def test_models_that_never_fit_do_not_count_among_those_that_take_turns():
    never, turns = needs(memory_budget_mb=2000)
    assert (never.level, turns.level) == ("error", "ok")
    assert turns.message == "one model needs 1000.0 MiB, at once within 2.0 GiB"


def test_without_models_there_are_no_needs():
    assert list(check_needs(stocked(), Settings(memory_budget_mb=1), a_ledger(1))) == []


@pytest.mark.parametrize("budget_mb", [0, 2500, 9000])
def test_a_model_that_the_machine_cannot_hold_is_an_error_whatever_the_budget(budget_mb):
    capacity = Capacity(2 * GIB, "2048 MiB of main memory")
    settings = Settings(memory_budget_mb=budget_mb)
    never, rest = check_needs(
        stocked(a=1000, b=3000), settings, a_ledger(budget_mb, capacity=capacity)
    )
    assert (never.subject, never.level, rest.level) == ("b", "error", "ok")
    assert never.message.endswith("and this machine has 2048 MiB of main memory")
    assert never.fix is not None
    assert "memory_budget_mb" not in never.fix


def a_gpu(limit_gib, size_gib=8):
    capacity = Capacity(size_gib * GIB, f"{size_gib << 10} MiB of memory on that GPU")
    return DeviceLimit(limit_gib * GIB, capacity, device="gpu0", said="as it was set")


def test_a_model_that_a_gpu_cannot_hold_is_told_with_the_gpus_numbers():
    inventory = stocked(a=1000)
    (each,) = inventory.loadable.values()
    on_gpu = replace(each, need=DeviceBytes(0, {"gpu0": 9 * GIB}))
    inventory = replace(inventory, loadable={"a": on_gpu})
    (finding,) = check_needs(inventory, Settings(), a_ledger(gpus=[a_gpu(7)]))
    assert (finding.subject, finding.level) == ("a", "error")
    assert "it needs 9.0 GiB on gpu0 (estimated), and this machine has 8192 MiB" in finding.message
    small = replace(inventory, loadable={"a": replace(each, need=DeviceBytes(5, {"gpu0": 7}))})
    assert only(check_needs(small, Settings(), a_ledger(gpus=[a_gpu(7)]))).level == "ok"


def test_each_gpu_is_told_with_its_budget():
    assert only(check_gpus(a_ledger(gpus=[a_gpu(7)]))).message == "7.0 GiB now (as it was set)"
    assert only(check_gpus(a_ledger(gpus=[a_gpu(9)]))).level == "error"
    unknown = DeviceLimit(None, device="gpu0", said="auto: unlimited")
    assert only(check_gpus(a_ledger(gpus=[unknown]))).level == "warning"
    assert list(check_gpus(a_ledger())) == []
