# SPDX-License-Identifier: GPL-3.0-only
"""Notices engines that have died. Decides only, for the scheduler."""

from __future__ import annotations

from typing import assert_never

from modeld.errors import WorkerCrashedError
from modeld.interfaces import Engine
from modeld.plugins.guard import shown
from modeld.serving.scheduling.decision import Death, Decision
from modeld.serving.scheduling.entry_index import EntryIndex
from modeld.serving.state.model_entry import ModelEntry
from modeld.serving.state.phases import (
    Closing,
    Discarded,
    Draining,
    Loaded,
    Loading,
    Ready,
    Withdrawn,
)
from modeld.serving.state.residence import Residence


def notice_deaths(index: EntryIndex, now_s: float, decision: Decision) -> None:
    """Take engines that have died out of service; who waits waits for the next."""
    for entry in index.touched:
        for instance in entry.instances:
            match instance.phase:
                case Loaded() | Ready() | Draining() | Discarded():
                    residence = instance.phase.residence
                    failure = _failure(residence.engine)
                    if failure is not None:
                        instance.die()
                        _note_death(entry, residence, failure, now_s)
                        decision.deaths.append(Death(entry, residence.engine, failure))
                case Loading() | Withdrawn() | Closing():
                    pass  # a load tells of its end itself, and a close is the end anyway
                case _:
                    assert_never(instance.phase)


def _note_death(
    entry: ModelEntry, residence: Residence, failure: WorkerCrashedError, now_s: float
) -> None:
    entry.last_error = failure.message
    entry.failure_code = failure.code
    entry.queue.forget_running(residence)
    entry.cooldown.crashed(now_s)


def _failure(engine: Engine) -> WorkerCrashedError | None:
    """Return how an engine has died; one that cannot say it is as good as dead."""
    try:
        return engine.failure()
    except Exception as exc:  # noqa: BLE001  (a plugin's fault must not stop the server)
        return WorkerCrashedError(f"the engine's failure() raised {shown(exc)}")
