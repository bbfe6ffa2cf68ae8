# SPDX-License-Identifier: GPL-3.0-only
"""Which requests get the slots that are free. Decides only, for the scheduler."""

from __future__ import annotations

from typing import assert_never

from modeld.serving.scheduling.backfill import opens_s
from modeld.serving.scheduling.decision import Decision
from modeld.serving.scheduling.entry_index import EntryIndex
from modeld.serving.scheduling.eviction.terms import Terms
from modeld.serving.state.instance import Instance
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


class Grants:
    """Gives the slots of a model to those who wait for it, first come, first served."""

    def __init__(self, index: EntryIndex, terms: Terms) -> None:
        self._index = index
        self._terms = terms

    def give(self, now_s: float, decision: Decision) -> None:
        """Give free slots to those who wait, where something has changed or time has passed."""
        # A draining model may open by time alone, untouched; see the module backfill.
        for entry in [*self._index.touched, *self._index.leaving.values()]:
            for instance in entry.instances:
                if entry.queue.waiting:
                    self._grant_on(entry, instance, now_s, decision)

    def _grant_on(
        self, entry: ModelEntry, instance: Instance, now_s: float, decision: Decision
    ) -> None:
        match instance.phase:
            case Ready(residence):
                stays = True
            case Draining(residence):
                stays = False
                opens = opens_s(entry, instance)
                if opens > now_s:
                    decision.ask_again(opens)
                    return
            case Loading() | Withdrawn() | Loaded() | Discarded() | Closing():
                return
            case _:
                assert_never(instance.phase)
        while (ticket := entry.queue.grant(residence, now_s, stays=stays)) is not None:
            residence.begin_use(now_s, ticket.keep_alive_s)
            if ticket.needs_slot:
                self._terms.note_grant(entry, instance, residence, now_s)
        # It was sorted before: a load would find it among the idle ones, and it is in use.
        self._index.sort_idle(entry, instance)
