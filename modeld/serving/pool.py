# SPDX-License-Identifier: GPL-3.0-only
"""Loaded models: lease one, and it is brought into memory and kept there for the lease's time.

The asynchronous skin around :class:`~modeld.serving.turns.Turns`: it runs the loads and closes
that were decided, wakes the requests, and asks again whenever something has happened.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from modeld.errors import DrainingError, ModeldError
from modeld.events import (
    Event,
    ModelEvicted,
    ModelLoaded,
    ModelLoadFailed,
    WorkerExited,
)
from modeld.hosting.host import Hosting
from modeld.hosting.tasks import TaskSet
from modeld.interfaces import Engine
from modeld.serving import refusals
from modeld.serving.admission import Ticket
from modeld.serving.instance import Place
from modeld.serving.loader import Loader, close
from modeld.serving.need import RETRY_S, Need
from modeld.serving.turns import Turns
from modeld.values import EvictionReason

log = logging.getLogger("modeld.pool")


class Pool:
    """Runs what ``turns`` decides; ``load_timeout_s`` bounds a load's time without progress."""

    def __init__(
        self,
        turns: Turns,
        hosting: Hosting,
        *,
        load_timeout_s: float,
        notify: Callable[[Event], None],
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.turns = turns
        self._hosting = hosting
        self._loader = Loader(hosting, timeout_s=load_timeout_s, notify=notify)
        self._notify = notify
        self._clock = clock
        self._wall_clock = wall_clock
        self._tasks = TaskSet()
        self._wake: asyncio.TimerHandle | None = None
        self._refusal: ModeldError | None = None
        self._changed = asyncio.Event()
        self.evictions_total = 0
        self.last_error: str | None = None

    @property
    def spares(self) -> int:
        """How many workers wait for a load."""
        return self._hosting.spares

    async def start(self) -> None:
        """Start the workers that wait for loads."""
        await self._hosting.start()

    @asynccontextmanager
    async def lease(
        self,
        place: Place,
        *,
        max_wait_s: float,
        needs_slot: bool = True,
        in_forecast: bool = True,
    ) -> AsyncIterator[Engine]:
        """Wait in line, bring the model into memory, and keep it and a slot until the block ends.

        ``in_forecast`` says whether its time says anything of how long the next one will take.

        Raises:
            ModeldError: the line is full, the wait took longer than ``max_wait_s``, the model
                does not fit, or it could not be loaded.
        """
        if self._refusal is not None:
            raise self._refusal
        granted = asyncio.get_running_loop().create_future()
        ticket = Ticket(self._clock(), granted, needs_slot=needs_slot)
        self.turns.join(place, ticket, ticket.arrived_s)
        try:
            self._decide()
            await self._granted(place, ticket, max_wait_s)
            granted_s = self._clock()
            assert place.instance is not None and place.instance.engine is not None  # noqa: PT018
            yield place.instance.engine
            if needs_slot:
                if in_forecast:
                    place.line.took(self._clock() - granted_s)
                place.cooldown.worked(self._clock())
        finally:
            if ticket.was_granted:
                place.last_used_unix = int(self._wall_clock())
            ticket.abandon()
            self.turns.leave(place, ticket, self._clock())
            self._decide()

    async def unload(self, place: Place) -> None:
        """Let the model's requests finish, free its memory, and return when it is free."""
        instance = place.instance
        if instance is not None:
            self.drain(place, EvictionReason.UNLOAD_REQUESTED)
            await self._until(lambda: place.instance is not instance)

    def pin(self, place: Place, *, pinned: bool) -> None:
        """Keep the model in memory whoever needs room, once it is there; or no longer."""
        place.pinned = pinned
        self._decide()

    def drain(self, place: Place, reason: EvictionReason) -> None:
        """Take a model out of memory as soon as its running requests are over."""
        if place.instance is not None:
            place.instance.drain(reason)
        self._decide()  # a file that has changed changes what those in line wait for, too

    async def finish(self, timeout_s: float) -> None:
        """Send everybody in line away, take nobody in, and wait for those who run."""
        self._refusal = DrainingError("the server is shutting down", retry_after_s=1)
        for place in self.turns.places.values():
            place.line.fail(self._refusal)
        places = self.turns.places.values()
        try:
            async with asyncio.timeout(timeout_s):
                await self._until(lambda: not any(place.line.running for place in places))
        except TimeoutError:
            running = sum(len(place.line.running) for place in places)
            log.warning("%d requests were still running after %g s", running, timeout_s)

    async def aclose(self) -> None:
        """End all engines, whoever uses them, and wait until their memory is free."""
        self._refusal = DrainingError("the server is shutting down", retry_after_s=1)
        if self._wake is not None:
            self._wake.cancel()
        await self._tasks.aclose()
        loaded = [place for place in self.turns.places.values() if place.instance is not None]
        await asyncio.gather(*(self._end(place) for place in loaded))
        for place in self.turns.places.values():
            place.line.fail(self._refusal)
        await self._hosting.aclose()
        self._changed.set()

    async def _end(self, place: Place) -> None:
        assert place.instance is not None
        place.instance.drain(EvictionReason.SHUTDOWN)
        if place.instance.engine is not None:
            await close(place, place.instance.engine)
        self._gone(place)

    async def _granted(self, place: Place, ticket: Ticket, max_wait_s: float) -> None:
        try:
            async with asyncio.timeout(max_wait_s):
                await ticket.granted
        except TimeoutError:
            raise refusals.waited_too_long(place, max_wait_s) from None

    def _decide(self) -> None:
        """Ask what can go ahead, and set it going."""
        self._changed.set()
        if self._refusal is not None and self._tasks.is_closed():
            return
        now_s = self._clock()
        decision = self.turns.decide(now_s)
        for complaint in decision.complaints:
            log.error("%s", complaint)
        for place in decision.deaths:
            self._on_death(place)
        for place in decision.measurements:
            name = f"modeld-measure-{place.spec.id}"
            self._tasks.spawn(self._measure(place, place.need), name)
        for place in decision.loads:
            self._tasks.spawn(self._load(place), f"modeld-load-{place.spec.id}")
        for place in decision.closes:
            self._tasks.spawn(self._close(place), f"modeld-close-{place.spec.id}")
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        if decision.wake_s < float("inf"):
            loop = asyncio.get_running_loop()
            self._wake = loop.call_later(max(0.0, decision.wake_s - now_s), self._decide)

    async def _until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            self._changed.clear()
            await self._changed.wait()

    async def _measure(self, place: Place, need: Need) -> None:
        """Settle this need; if the file changes meanwhile, the place has another one by then."""
        try:
            need.settle(await self._loader.measure(place))
        except Exception as exc:  # noqa: BLE001  (whatever a backend raises, nothing is known)
            self._on_not_measured(place, need, exc)
        self._decide()

    def _on_not_measured(self, place: Place, need: Need, exc: Exception) -> None:
        """The estimate counts for a while, unless it is too large or the model is unusable."""
        now_s = self._clock()
        need.reopen(now_s + RETRY_S)
        if place.need is not need:
            return
        is_unusable = isinstance(exc, ModeldError) and not exc.retryable
        if is_unusable or not self.turns.ledger.can_ever_hold(need.size_bytes):
            need.reopen(now_s)  # the cool-down is what it waits for
            self._on_failure(place, exc)
        else:
            log.warning("%s was not measured, its estimate counts: %r", place.spec.id, exc)

    async def _load(self, place: Place) -> None:
        instance = place.instance
        assert instance is not None
        model = place.spec.id
        try:
            engine = await self._loader.load(place, instance)
        except asyncio.CancelledError:
            self.turns.gone(place)
            self.turns.turn_away(place, DrainingError("the server is shutting down"))
            raise
        except Exception as exc:  # noqa: BLE001  (whatever a backend raises is a failed load)
            self._on_load_failed(place, exc)
            return
        self.turns.loaded(place, engine, self._clock())
        took_s, held_mb = place.load_seconds, engine.held_bytes >> 20
        log.info("%s is ready after %.2f s, %d MiB measured", model, took_s, held_mb)
        instance.watch = self._tasks.spawn(self._watch(engine), f"modeld-watch-{model}")
        self._decide()
        self._notify(
            ModelLoaded(
                model=model,
                seconds=place.load_seconds,
                held_bytes=instance.held_bytes,
                estimated_bytes=place.need.estimated_bytes,
            )
        )

    def _on_load_failed(self, place: Place, exc: Exception) -> None:
        is_outdated = self.turns.is_outdated(place)
        self.turns.gone(place)
        if is_outdated:
            log.warning("%s: the load of an older file failed: %s", place.spec.id, exc)
        else:
            self._on_failure(place, exc)
        self._decide()

    def _on_failure(self, place: Place, exc: Exception) -> None:
        """Tell everybody in line that the model cannot be had, and leave it alone for a while."""
        retry_after_s = place.cooldown.load_failed(self._clock())
        error = refusals.load_failed(place, exc, retry_after_s)
        log.error("%s", error.message, exc_info=None if isinstance(exc, ModeldError) else exc)
        self.last_error = error.message
        self.turns.turn_away(place, error)
        self._notify(
            ModelLoadFailed(
                model=place.spec.id,
                reason=error.code,
                message=error.message,
                retry_after_s=retry_after_s,
            )
        )

    async def _watch(self, engine: Engine) -> None:
        """Ask again when the engine has died; one that is closed on purpose changes nothing."""
        await engine.wait_exited()
        self._decide()

    def _on_death(self, place: Place) -> None:
        engine = place.instance.engine if place.instance else None
        failure = engine.failure() if engine else None
        assert failure is not None
        self.last_error = f"{place.spec.id}: {failure.message}"
        wait_s = place.cooldown.remaining_s(self._clock())
        log.error("model %r: %s; next load in %g s", place.spec.id, failure.message, wait_s)
        self._notify(WorkerExited(model=place.spec.id, cause=failure.cause, detail=failure.message))

    async def _close(self, place: Place) -> None:
        instance = place.instance
        assert instance is not None and instance.engine is not None  # noqa: PT018
        await close(place, instance.engine)
        self._gone(place)
        self._decide()

    def _gone(self, place: Place) -> None:
        instance = place.instance
        assert instance is not None
        if instance.watch is not None:
            instance.watch.cancel()
        self.turns.gone(place)
        reason = instance.drain_reason or EvictionReason.SHUTDOWN
        self.evictions_total += reason is not EvictionReason.SHUTDOWN
        log.info("%s has left memory: %s", place.spec.id, reason)
        self._notify(
            ModelEvicted(model=place.spec.id, reason=reason, freed_bytes=instance.held_bytes)
        )
