# SPDX-License-Identifier: GPL-3.0-only
"""Kept sequences as bytes, so that they can outlive the model's stay in memory."""

from __future__ import annotations

from collections.abc import Iterable

from modeld.values import Value
from modeld_llama_cpp.runner import Runner
from modeld_llama_cpp.scheduler import Scheduler


class SavedSequence(Value, frozen=True, kw_only=True):
    """A sequence of computed tokens, whose it is, and its state as llama.cpp writes it.

    The state fits the same file, options and build of llama.cpp only.
    """

    tokens: tuple[int, ...]
    salt: str
    state: bytes


def save(scheduler: Scheduler, runner: Runner, max_bytes: int) -> list[SavedSequence]:
    """The kept sequences, the most recently used first, as many as fit into ``max_bytes``."""
    runner.edit(scheduler.take_edits())
    saved: list[SavedSequence] = []
    left = max_bytes
    for kept in scheduler.kept:
        if runner.state_bytes(kept.seq_id) > left:
            break
        state = runner.save(kept.seq_id)
        left -= len(state)
        saved.append(SavedSequence(tokens=tuple(kept.tokens), salt=kept.salt, state=state))
    return saved


def restore(scheduler: Scheduler, runner: Runner, saved: Iterable[SavedSequence]) -> int:
    """Keep saved sequences again, the first ones as long as there is room; return how many.

    One whose state llama.cpp refuses is left out.
    """
    restored = 0
    for one in saved:
        runner.edit(scheduler.take_edits())
        seq_id = scheduler.adopt(list(one.tokens), one.salt)
        if seq_id is None:
            break
        if runner.restore(seq_id, one.state):
            restored += 1
        else:
            scheduler.abandon(seq_id)
    return restored
