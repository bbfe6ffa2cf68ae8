# SPDX-License-Identifier: GPL-3.0-only
"""Where requests stood as they came, those too whose model had to be measured first."""

from __future__ import annotations

from modeld.serving.scheduling.rehearsal import placement
from modeld.serving.state.model_entry import ModelEntry
from modeld.serving.state.ticket import Ticket
from modeld.status import PlanOutcome


class Placements:
    """Says of each request what a plan would have said, which waits for the measurement too."""

    def __init__(self) -> None:
        self._open: dict[Ticket, ModelEntry] = {}
        self._found: dict[Ticket, PlanOutcome] = {}

    def note(self, entry: ModelEntry, ticket: Ticket, *, was_absent: bool) -> None:
        """Note a request that has joined and about which was decided."""
        if _is_open(entry):
            self._open[ticket] = entry
        else:
            self._found[ticket] = placement(entry, ticket, was_absent=was_absent)

    def settle(self) -> None:
        """Place those whose model is measured by now, after the decision that goes by it."""
        if not self._open:
            return  # nearly every decision
        first: set[ModelEntry] = set()
        for ticket, entry in list(self._open.items()):
            if not _is_open(entry):
                del self._open[ticket]
                # All have found it absent; for who came second it is on its way all the same.
                found = placement(entry, ticket, was_absent=entry not in first)
                self._found[ticket] = found
                first.add(entry)

    def take(self, ticket: Ticket) -> PlanOutcome:
        """Return where a request stood that has its slot now, and forget it."""
        return self._found.pop(ticket)

    def forget(self, ticket: Ticket) -> None:
        """Forget a request that goes before it has a slot."""
        self._open.pop(ticket, None)
        self._found.pop(ticket, None)


def _is_open(entry: ModelEntry) -> bool:
    # Both verbs go by this. Were they at odds, a request for a model that is in memory and measured
    # again could get its slot before its place, which would cost it its response.
    return entry.need.is_being_measured and not entry.instances
