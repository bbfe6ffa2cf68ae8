# SPDX-License-Identifier: GPL-3.0-only
"""How a request gets a model and a slot of it, and gives them back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, assert_never

from modeld.errors import ModeldError, WorkerCrashedError
from modeld.requests import KeepAliveSeconds
from modeld.serving.placements import Placements
from modeld.serving.scheduling import refusals
from modeld.serving.scheduling.scheduler import ModelScheduler
from modeld.serving.state.model_entry import ModelEntry
from modeld.serving.state.residence import Residence
from modeld.serving.state.ticket import Ended, Queued, Running, Ticket
from modeld.status import PlanOutcome


class Lease:
    """A model that stays in memory, and a slot of it, until it is given back.

    ``load_s`` is how long whoever has it has waited for the model to be loaded, and ``placement``
    where the request stood as it came. ``fitting`` is what the model goes without to fit.
    """

    def __init__(
        self,
        residence: Residence,
        load_s: float,
        placement: PlanOutcome,
        end: Callable[[bool], None],
    ) -> None:
        self.engine = residence.engine
        self.fitting = residence.fitting
        self.load_s = load_s
        self.placement = placement
        self._end = end

    def give_back(self, *, well: bool) -> None:
        """Free the slot and the model; ``well`` says how the work has ended. Again does nothing."""
        self._end(well)


class Leasing:
    """Queues requests with the scheduler, and has it decide whenever one comes or goes.

    ``placements`` has where each stood as it came; who decides settles those that are open.
    ``decide`` carries out what can go ahead now; ``check_open`` raises where nothing is taken in
    any more. ``clock`` is a monotonic one, ``wall_clock`` tells when a model was used last.
    """

    def __init__(
        self,
        scheduler: ModelScheduler,
        placements: Placements,
        *,
        clock: Callable[[], float],
        wall_clock: Callable[[], float],
        decide: Callable[[], None],
        check_open: Callable[[], None],
    ) -> None:
        self._scheduler = scheduler
        self._placements = placements
        self._clock = clock
        self._wall_clock = wall_clock
        self._decide = decide
        self._check_open = check_open

    @asynccontextmanager
    async def lease(
        self,
        entry: ModelEntry,
        *,
        max_wait_s: float,
        needs_slot: bool = True,
        in_forecast: bool = True,
        keep_alive_s: KeepAliveSeconds | None = None,
        takes_fitted: bool = True,
    ) -> AsyncIterator[Lease]:
        """Queue, bring the model into memory, and keep it and a slot until the block ends.

        Who is done sooner may give it back before. ``in_forecast`` says whether its time tells how
        long the next one will take, ``keep_alive_s`` how long the model stays in memory unused from
        then on, and ``takes_fitted`` whether less than configured will do where it must.

        Raises:
            ModeldError: the queue is full, the wait took longer than ``max_wait_s``, the model
                does not fit, or it could not be loaded.
        """
        self._check_open()
        ticket = self._ticket(
            max_wait_s,
            needs_slot=needs_slot,
            keep_alive_s=keep_alive_s,
            takes_fitted=takes_fitted,
        )
        self._join(entry, ticket)
        placed, running = await self._wait(entry, ticket, max_wait_s)
        waited_s = running.residence.load_wait_s(ticket.arrived_s)
        end = partial(self._end, entry, ticket, in_forecast)
        lease = Lease(running.residence, waited_s, placed, end)
        try:
            yield lease
            lease.give_back(well=True)  # nothing, where the work was over before its client was
        except ModeldError as exc:
            self._forecast(entry, exc)
            raise
        finally:
            lease.give_back(well=False)

    def _join(self, entry: ModelEntry, ticket: Ticket) -> None:
        try:
            self._scheduler.join(entry, ticket, ticket.arrived_s)
        except ModeldError:
            if entry.has_nothing_left:
                self._decide()  # else refusals alone would have every model remembered
            raise

    async def _wait(
        self, entry: ModelEntry, ticket: Ticket, max_wait_s: float
    ) -> tuple[PlanOutcome, Running]:
        # No await between joining and this: a task that is cancelled there would leave a ticket
        # behind that nobody takes out of the queue, and the model would never be idle again.
        try:
            was_absent = not entry.instances
            self._decide()
            self._placements.note(entry, ticket, was_absent=was_absent)
            running = await self._granted(entry, ticket, max_wait_s)
            return self._placements.take(ticket), running
        except BaseException as exc:
            self._placements.forget(ticket)
            if isinstance(exc, ModeldError):
                self._forecast(entry, exc)
            self._abandon(entry, ticket)
            raise

    def _end(self, entry: ModelEntry, ticket: Ticket, in_forecast: bool, well: bool) -> None:  # noqa: FBT001  (Lease names it)
        match ticket.phase:
            case Running(started_s=started_s):
                now_s = self._clock()
                if well and ticket.needs_slot:
                    if in_forecast:
                        entry.queue.took(now_s - started_s)
                    entry.cooldown.worked(now_s)
                ticket.finish(well=well)
                self._note_use(entry)
                self._leave(entry, ticket)
            case Queued() | Ended():
                pass  # it was given back before, and holds nothing more
            case _:
                assert_never(ticket.phase)

    def _abandon(self, entry: ModelEntry, ticket: Ticket) -> None:
        """Give up a request that goes before it has used anything."""
        if isinstance(ticket.phase, Running):
            self._note_use(entry)  # its slot came in the moment in which it left
        ticket.abandon()
        self._leave(entry, ticket)

    def _note_use(self, entry: ModelEntry) -> None:
        entry.last_used_unix = int(self._wall_clock())

    def _leave(self, entry: ModelEntry, ticket: Ticket) -> None:
        self._scheduler.leave(entry, ticket, self._clock())
        self._decide()

    def _ticket(self, max_wait_s: float, **wants: Any) -> Ticket:
        now_s = self._clock()
        granted = asyncio.get_running_loop().create_future()
        return Ticket(now_s, granted, deadline_s=now_s + max_wait_s, **wants)

    def _forecast(self, entry: ModelEntry, error: ModeldError) -> None:
        """Say when it is worth trying again, where no error before has said it."""
        if isinstance(error, WorkerCrashedError):
            self._scheduler.touch(entry)
            self._decide()  # the cool-down begins as the death is noticed
            error.retry_after_s = self._scheduler.forecast_s(entry, self._clock())
        elif error.retryable and error.retry_after_s is None:
            error.retry_after_s = self._scheduler.forecast_s(entry, self._clock())

    async def _granted(self, entry: ModelEntry, ticket: Ticket, max_wait_s: float) -> Running:
        try:
            async with asyncio.timeout(max_wait_s):
                return await ticket.granted
        except TimeoutError:
            # Out of the queue before the forecast, or it would be counted among those ahead.
            self._scheduler.leave(entry, ticket, self._clock())
            forecast_s = self._scheduler.forecast_s(entry, self._clock())
            raise refusals.waited_too_long(entry, max_wait_s, forecast_s) from None
