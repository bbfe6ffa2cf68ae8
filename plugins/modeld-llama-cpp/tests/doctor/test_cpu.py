# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from pathlib import Path

import pytest
from modeld_llama_cpp.doctor import cpu


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_the_numbers_of_threads_are_those_that_there_can_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cpu, "usable_cores", lambda: 8)
    monkeypatch.setattr(cpu.os, "sched_getaffinity", lambda _: set(range(16)))
    assert cpu.thread_counts() == (1, 2, 4, 8, 16)
    assert cpu.thread_counts((6, 8)) == (1, 2, 4, 6, 8, 16)
    monkeypatch.setattr(cpu, "usable_cores", lambda: 1)
    monkeypatch.setattr(cpu.os, "sched_getaffinity", lambda _: {0})
    assert cpu.thread_counts() == (1,)


def test_the_time_of_others_is_what_this_process_did_not_take(tmp_path: Path) -> None:
    ticks = cpu._TICKS_PER_S
    stat = tmp_path / "proc/stat"
    stat.parent.mkdir()
    stat.write_text("cpu  0 0 0 0 0 0 0 0 0 0\ncpu0 1 1 1\n")
    clock, own = Clock(), Clock()
    others = cpu.OtherPrograms(tmp_path, clock, own)
    clock.now_s, own.now_s = 10.0, 6.0
    stat.write_text(f"cpu  {10 * ticks} 0 {ticks} {50 * ticks} 9 0 0 {99 * ticks} 0 0\n")
    assert others.processors() == pytest.approx(0.5)  # 11 s busy, 6 s of them here, in 10 s


def test_where_the_system_does_not_tell_there_are_no_others(tmp_path: Path) -> None:
    assert cpu.OtherPrograms(tmp_path).processors() == 0.0
