# SPDX-License-Identifier: GPL-3.0-only
"""The bounded line in front of one model. Pure: it decides who is next and never waits."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import Final

from modeld.errors import ModeldError, QueueFullError

SMOOTHING: Final = 0.2
"""Weight of the newest request in the moving average of how long requests take."""


class Ticket:
    """One request's place in line, then its slot.

    ``granted`` is done when the model is ready and a slot is the ticket's; it fails if the model
    cannot be had. A ticket that needs no slot (an explicit load) only waits for the model.
    """

    def __init__(
        self, arrived_s: float, granted: asyncio.Future[None], *, needs_slot: bool = True
    ) -> None:
        self.arrived_s = arrived_s
        self.granted = granted
        self.needs_slot = needs_slot

    def grant(self) -> None:
        """Wake the request. One that is leaving at this moment gives the slot back itself."""
        if not self.granted.done():
            self.granted.set_result(None)

    def fail(self, error: ModeldError) -> None:
        """Wake the request with an error."""
        if not self.granted.done():
            self.granted.set_exception(error)

    @property
    def was_granted(self) -> bool:
        """Whether the model was the ticket's to use."""
        return (
            self.granted.done()
            and not self.granted.cancelled()
            and self.granted.exception() is None
        )

    def abandon(self) -> None:
        """Nobody waits for the outcome any more."""
        if not self.granted.cancel() and not self.granted.cancelled():
            self.granted.exception()


class Line:
    """The requests for one model: those that run, at most ``slots``, and those that wait.

    The limit counts every waiting request, whether the model is in memory or not.
    """

    def __init__(self, model: str, slots: int, max_depth: int) -> None:
        self.model = model
        self.slots = slots
        self.max_depth = max_depth
        self.waiting: deque[Ticket] = deque()
        self.running: set[Ticket] = set()
        self._mean_s = 1.0

    @property
    def is_empty(self) -> bool:
        """Whether nobody waits and nobody runs."""
        return not self.waiting and not self.running

    @property
    def oldest_s(self) -> float:
        """When the first of those who wait has arrived; infinite if nobody waits."""
        return self.waiting[0].arrived_s if self.waiting else math.inf

    def join(self, ticket: Ticket) -> None:
        """Stand at the end of the line.

        Raises:
            QueueFullError: too many wait already.
        """
        if len(self.waiting) + len(self.running) >= self.slots + self.max_depth:
            raise QueueFullError(
                f"{len(self.waiting)} requests wait for model {self.model!r} and"
                f" {len(self.running)} run; no more than {self.max_depth} may wait",
                retry_after_s=self.forecast_s(),
            )
        self.waiting.append(ticket)

    def leave(self, ticket: Ticket) -> None:
        """Give back the place or the slot; a ticket that holds neither is ignored."""
        if ticket in self.running:
            self.running.remove(ticket)
        elif ticket in self.waiting:
            self.waiting.remove(ticket)

    def next(self) -> Ticket | None:
        """Take the next ticket that can go ahead out of the line, in order of arrival."""
        slot_free = len(self.running) < self.slots
        for ticket in self.waiting:
            if slot_free or not ticket.needs_slot:
                self.waiting.remove(ticket)
                if ticket.needs_slot:
                    self.running.add(ticket)
                return ticket
        return None

    def fail(self, error: ModeldError) -> None:
        """Send everybody who waits away with an error."""
        waiting = list(self.waiting)
        self.waiting.clear()
        for ticket in waiting:
            ticket.fail(error)

    def took(self, seconds: float) -> None:
        """Note how long a request has held its slot, for the forecast."""
        self._mean_s += SMOOTHING * (seconds - self._mean_s)

    def forecast_s(self) -> float:
        """In how many seconds a place is likely to be free: requests ahead by mean time by slot."""
        ahead = len(self.waiting) + 1
        return ahead / self.slots * self._mean_s
