# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import ctypes

import pytest
from modeld_llama_cpp.native import heap


def test_what_is_allocated_is_seen_and_what_is_freed_is_not() -> None:
    before = heap.used_bytes()
    assert before > 0
    kept = ctypes.create_string_buffer(8 << 20)
    assert heap.used_bytes() - before == pytest.approx(8 << 20, rel=0.01)
    del kept
    assert heap.used_bytes() == pytest.approx(before, abs=100_000)


def test_a_c_library_that_does_not_tell_gives_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert heap.used_bytes() == 0
