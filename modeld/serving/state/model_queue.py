# SPDX-License-Identifier: GPL-3.0-only
"""The bounded queue in front of one model. Pure: it decides who is next and never waits."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

from modeld.errors import ModeldError, QueueFullError
from modeld.serving.state.residence import Residence
from modeld.serving.state.ticket import Running, Ticket, running_on

SMOOTHING: Final = 0.2
"""Weight of the newest request in the moving average of how long requests take."""


class ModelQueue:
    """The requests for one model: those that run, at most ``slots``, and those that wait.

    The limit counts every waiting request, whether the model is in memory or not.
    """

    def __init__(self, model: str, slots: int, max_depth: int) -> None:
        self.model = model
        self.slots = slots
        self.max_depth = max_depth
        self.waiting: deque[Ticket] = deque()
        self.running: dict[Ticket, Running] = {}
        self.mean_s = 1.0

    @property
    def is_empty(self) -> bool:
        """Return whether nobody waits and nobody runs."""
        return not self.waiting and not self.running

    @property
    def oldest_s(self) -> float:
        """Return when the first of those who wait has arrived; infinite if nobody waits."""
        return self.waiting[0].arrived_s if self.waiting else math.inf

    def join(self, ticket: Ticket) -> None:
        """Put a ticket at the end of the queue.

        Raises:
            QueueFullError: too many wait already.
        """
        # Free slots count beside the depth: who arrives is queued first and granted afterwards, so
        # without them a queue of depth 0 would refuse everybody, and an idle model some.
        if len(self.waiting) + len(self.running) >= self.slots + self.max_depth:
            raise QueueFullError(
                f"{len(self.waiting)} requests wait for model {self.model!r} and"
                f" {len(self.running)} run; no more than {self.max_depth} may wait"
            )
        self.waiting.append(ticket)

    def leave(self, ticket: Ticket) -> Running | None:
        """Give back the slot or the position; return how it ran, if it held a slot.

        A ticket that holds neither is ignored: it may have failed while it waited, or its engine
        has died under it.
        """
        if ticket in self.waiting:
            self.waiting.remove(ticket)
        return self.running.pop(ticket, None)

    def grant(self, residence: Residence, now_s: float, *, stays: bool = True) -> Ticket | None:
        """Grant the next ticket that can go ahead, in order of arrival, and return it.

        Who waits for the model only is not served by one that does not stay: a load that was asked
        for would be reported as done by what is about to leave.
        """
        is_slot_free = len(self.running) < self.slots
        for ticket in self.waiting:
            if residence.fitting is not None and not ticket.takes_fitted:
                continue  # what it waits for is the next instance
            if is_slot_free if ticket.needs_slot else stays:
                self.waiting.remove(ticket)
                running = ticket.grant(residence, now_s)
                if ticket.needs_slot:
                    self.running[ticket] = running
                return ticket
        return None

    def fail(self, error: ModeldError) -> None:
        """Send everybody who waits away with an error."""
        self._fail(list(self.waiting), error)

    def fail_unfitted(self, error: ModeldError) -> None:
        """Send those away with an error who want the model as it is configured, or not at all."""
        self._fail([ticket for ticket in self.waiting if not ticket.takes_fitted], error)

    def _fail(self, tickets: list[Ticket], error: ModeldError) -> None:
        for ticket in tickets:
            self.waiting.remove(ticket)
        for ticket in tickets:
            ticket.fail(error)

    def forget_running(self, residence: Residence) -> None:
        """Take all slots back from requests whose engine has died.

        Their clients may still read the error, for as long as they like. A slot that they held
        meanwhile would be missing from the next instance.
        """
        for ticket in running_on(residence, self.running):
            del self.running[ticket]

    def took(self, seconds: float) -> None:
        """Note how long a request has held its slot, for the forecast."""
        self.mean_s += SMOOTHING * (seconds - self.mean_s)
