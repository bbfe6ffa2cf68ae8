# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import logging

import pytest

from modeld.errors import InvalidModelError, LoadFailedError, WorkerCrashedError
from modeld.plugins.faults import (
    LOGGED_AGAIN_S,
    MOST_KEPT,
    PluginFaults,
    fault_in,
    is_fault,
    only_logged,
    raised,
)
from modeld.plugins.guard import PluginFault
from modeld.values import FaultStatus

OWNERS = {("backend", "x"): "mine", ("source", "y"): "mine", ("backend", "z"): "other"}


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_a_fault_is_counted_for_the_plugin_that_has_brought_the_thing() -> None:
    clock = Clock()
    faults = PluginFaults(OWNERS, clock, clock)
    faults.note("backend", "x", "it broke")
    faults.note("source", "y", "it is late")
    clock.now_s += 5
    faults.note("backend", "x", "it broke")
    assert faults.of("mine") == (
        FaultStatus(thing="source y", message="it is late", count=1, last_unix=100),
        FaultStatus(thing="backend x", message="it broke", count=2, last_unix=105),
    )
    assert faults.of("other") == ()


def test_a_fault_is_logged_with_its_plugin_and_not_every_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    faults = PluginFaults(OWNERS, clock, clock)
    for wait_s in (0, 1, LOGGED_AGAIN_S):
        clock.now_s += wait_s
        faults.note("backend", "x", "it broke")
    assert caplog.messages == ["plugin 'mine': it broke"] * 2
    faults.note("backend", "nobody's", "it broke too")
    assert caplog.messages[-1] == "it broke too"
    assert {record.levelno for record in caplog.records} == {logging.ERROR}


def test_of_many_different_faults_the_last_are_kept() -> None:
    faults = PluginFaults(OWNERS)
    for number in range(MOST_KEPT + 3):
        faults.note("backend", "x", str(number))
    assert [each.message for each in faults.of("mine")] == [
        str(number) for number in range(3, MOST_KEPT + 3)
    ]


def test_the_log_has_the_traceback_of_what_the_plugin_has_raised(
    caplog: pytest.LogCaptureFixture,
) -> None:
    root = ZeroDivisionError("the root")
    fault = PluginFault("it raised")
    fault.__cause__ = root
    error = LoadFailedError("it failed")
    error.__cause__ = fault
    assert raised(error) is root
    assert fault_in(error) is fault
    on_purpose = LoadFailedError("on purpose")
    on_purpose.__cause__ = root
    assert raised(on_purpose) is None
    assert raised(root) is root
    assert fault_in(ValueError()) is None
    only_logged("backend", "x", "it broke", error)
    assert "ZeroDivisionError: the root" in caplog.text
    assert "LoadFailedError" not in caplog.text


def test_a_refusal_is_no_fault() -> None:
    assert is_fault(RuntimeError())
    assert is_fault(LoadFailedError("x"))
    assert is_fault(WorkerCrashedError("x"))
    assert not is_fault(InvalidModelError("x"))
