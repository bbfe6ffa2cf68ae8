# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import random

from modeld_dashboard.memory_history import Change, MemoryHistory


def change(sequence: int, time_unix: float, model: str, held_bytes: int) -> Change:
    return Change(sequence, time_unix, model, held_bytes)


def held_after(history: MemoryHistory, sequence: int = 0) -> dict[str, int]:
    """Return what is held at the end, as a reader of the history computes it."""
    held, changes = history.after(sequence)
    for each in changes:
        held[each.model] = each.held_bytes
    return {model: size for model, size in held.items() if size}


def test_changes_come_in_their_order_after_what_was_held_before() -> None:
    history = MemoryHistory(span_s=100, limit=10)
    history.note(change(1, 0.0, "a", 5))
    history.note(change(2, 1.0, "b", 7))
    assert history.after(0) == ({}, [(1, 0.0, "a", 5), (2, 1.0, "b", 7)])
    assert history.after(1) == ({"a": 5}, [(2, 1.0, "b", 7)])
    assert history.after(2) == ({"a": 5, "b": 7}, [])


def test_what_is_older_than_the_span_becomes_the_state_before() -> None:
    history = MemoryHistory(span_s=100, limit=10)
    history.note(change(1, 0.0, "a", 5))
    history.note(change(2, 90.0, "a", 0))
    history.trim(150.0)
    assert history.after(0) == ({"a": 5}, [(2, 90.0, "a", 0)])
    history.trim(200.0)
    assert history.after(0) == ({}, [])


def test_it_is_bounded_whatever_happens() -> None:
    history = MemoryHistory(span_s=1e9, limit=50)
    choice = random.Random(1)
    held: dict[str, int] = {}
    for sequence in range(1, 5000):
        model = f"m{choice.randrange(9)}"
        held[model] = 0 if held.get(model) else choice.randrange(1, 100)
        history.note(change(sequence, float(sequence), model, held[model]))
        before, changes = history.after(0)
        assert len(changes) <= 50
        assert len(before) <= 9
        assert held_after(history) == {name: size for name, size in held.items() if size}


def test_models_that_hold_nothing_are_forgotten() -> None:
    history = MemoryHistory(span_s=1e9, limit=4)
    for sequence in range(1, 2001, 2):
        history.note(change(sequence, 0.0, f"m{sequence}", 1))
        history.note(change(sequence + 1, 0.0, f"m{sequence}", 0))
    before, _ = history.after(0)
    assert before == {}
