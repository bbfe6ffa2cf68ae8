# SPDX-License-Identifier: GPL-3.0-only
"""Carries out decisions: measures, loads, watches and closes models, and reports it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import assert_never

from modeld.errors import DrainingError, ModeldError
from modeld.events import Event, ModelEvicted, ModelLoaded, ModelLoadFailed, WorkerExited
from modeld.hosting import last_words
from modeld.hosting.tasks import TaskSet
from modeld.interfaces import Engine
from modeld.plugins.faults import NoteFault, is_fault, only_logged, raised
from modeld.plugins.guard import described
from modeld.serving.fitter import Fitter
from modeld.serving.loader import Loader
from modeld.serving.scheduling import refusals
from modeld.serving.scheduling.decision import Close, Death, Decision
from modeld.serving.scheduling.scheduler import ModelScheduler
from modeld.serving.state.cooldown import FIRST_S
from modeld.serving.state.instance import Instance
from modeld.serving.state.memory_need import RETRY_S, MemoryNeed
from modeld.serving.state.model_entry import ModelEntry
from modeld.serving.state.phases import Closing, Discarded, Draining, Withdrawn
from modeld.status import EvictionReason

END_GRACE_S = 0.25
"""How long an engine may take to close at the end of the pool."""

log = logging.getLogger("modeld.pool")


class Lifecycle:
    """Runs every slow step in a task of ``tasks``, and calls ``decide`` when one is over."""

    def __init__(
        self,
        scheduler: ModelScheduler,
        loader: Loader,
        tasks: TaskSet,
        *,
        notify: Callable[[Event], None],
        clock: Callable[[], float],
        decide: Callable[[], None],
        note: NoteFault = only_logged,
    ) -> None:
        self._note = note
        self._scheduler = scheduler
        self._loader = loader
        self._fitter = Fitter(loader, scheduler.ledger)
        self._tasks = tasks
        self._notify = notify
        self._clock = clock
        self._decide = decide
        self._watches: dict[Instance, asyncio.Task[None]] = {}
        self.evictions_total = 0
        self.last_error: str | None = None

    def carry_out(self, decision: Decision) -> None:
        """Begin all that was decided, and wait for none of it."""
        for death in decision.deaths:
            self._on_death(death)
        for entry in decision.measurements:
            name = f"modeld-measure-{entry.spec.id}"
            self._tasks.spawn(self._measure(entry, entry.need), name)
        for load in decision.loads:
            name = f"modeld-load-{load.entry.spec.id}"
            self._tasks.spawn(self._load(load.entry, load.instance), name)
        for each in decision.closes:
            self._tasks.spawn(self._close(each), f"modeld-close-{each.entry.spec.id}")

    async def end(self, entry: ModelEntry, instance: Instance) -> None:
        """End an instance at once, whoever uses it. No task of this may still run."""
        leaving = instance.leave(EvictionReason.SHUTDOWN, entry.queue.running)
        match leaving:
            case Withdrawn():
                pass  # its load was cancelled, and has left nothing
            case Draining(residence) | Discarded(residence) | Closing(residence):
                await self._loader.end(entry, residence.engine, END_GRACE_S)
            case _:
                assert_never(leaving)
        self._gone(entry, instance, leaving.reason)

    async def measure_for_plan(self, entry: ModelEntry) -> None:
        """Settle what a model needs, for who only wants to know it.

        Raises:
            ModeldError: it cannot be measured, and so not be loaded.
        """
        need = entry.need
        need.begin_measuring()
        try:
            await self._fitter.settle(entry, need)
        except asyncio.CancelledError:
            need.reopen(self._clock())
            raise
        except Exception as exc:
            need.reopen(self._clock() + RETRY_S)
            if self._is_unloadable(need, exc):
                need.reopen(self._clock())
                raise refusals.load_failed(entry, exc, FIRST_S) from exc
        finally:
            self._scheduler.touch(entry)  # who waits for the model has waited for this too
            self._decide()

    def _is_unloadable(self, need: MemoryNeed, exc: Exception) -> bool:
        """Return whether what a measurement has failed with says that a load would fail too."""
        is_unusable = isinstance(exc, ModeldError) and not exc.retryable
        return is_unusable or not self._scheduler.ledger.can_ever_hold(need.size)

    async def _measure(self, entry: ModelEntry, need: MemoryNeed) -> None:
        """Settle this need; if the file changes meanwhile, the entry has another one by then."""
        try:
            await self._fitter.settle(entry, need)
        except Exception as exc:  # noqa: BLE001  (whatever a backend raises, nothing is known)
            self._on_not_measured(entry, need, exc)
        self._scheduler.touch(entry)  # nobody may wait for it any more: then it may be forgotten
        self._decide()

    def _on_not_measured(self, entry: ModelEntry, need: MemoryNeed, exc: Exception) -> None:
        """Let the estimate count for a while, unless it is too large or the model is unusable."""
        now_s = self._clock()
        # Whatever follows, it is no longer measured: else the model would wait for that for ever.
        need.reopen(now_s + RETRY_S)
        if entry.need is not need:
            return
        if self._is_unloadable(need, exc):
            need.reopen(now_s)  # the cool-down is what it waits for
            self._on_failure(entry, exc)
        else:
            backend = entry.backend.name
            told = f"was not measured by backend {backend!r}, its estimate counts"
            self._note("backend", backend, f"{entry.spec.id} {told}: {described(exc)}", exc)

    async def _load(self, entry: ModelEntry, instance: Instance) -> None:
        model = entry.spec.id
        try:
            engine, warm_up_s = await self._loader.load(entry, instance)
        except asyncio.CancelledError:
            self._scheduler.gone(entry, instance, self._clock())
            self._scheduler.refuse(entry, DrainingError("the server is shutting down"))
            raise
        except Exception as exc:  # noqa: BLE001  (whatever a backend raises is a failed load)
            self._on_load_failed(entry, instance, exc)
            return
        # No await up to the decision: an engine that is loaded and not yet known to the scheduler
        # would be lost with a cancelled task, and its worker would hold its memory.
        self._scheduler.loaded(entry, instance, engine, self._clock())
        took_s, held_mb = entry.load_seconds, engine.held_bytes >> 20
        log.info("%s is ready after %.2f s, %d MiB measured", model, took_s, held_mb)
        watch = self._tasks.spawn(self._watch(entry, engine), f"modeld-watch-{model}")
        self._watches[instance] = watch
        self._decide()
        self._notify(
            ModelLoaded(
                model=model,
                seconds=entry.load_seconds,
                held_bytes=instance.held_bytes,
                estimated_bytes=entry.need.estimated_bytes,
                slots=entry.queue.slots,
                fit="" if instance.fitting is None else instance.fitting.step,
                gives_up="" if instance.fitting is None else instance.fitting.gives_up,
                warm_up_s=warm_up_s,
            )
        )

    def _on_load_failed(self, entry: ModelEntry, instance: Instance, exc: Exception) -> None:
        is_outdated = entry.is_outdated(instance)
        self._scheduler.gone(entry, instance, self._clock())
        if is_outdated:
            # Who waits wants the new file, of which nothing has failed yet.
            log.warning("%s: the load of an older file failed: %s", entry.spec.id, exc)
        else:
            self._on_failure(entry, exc)
        self._decide()

    def _on_failure(self, entry: ModelEntry, exc: Exception) -> None:
        """Tell all who wait that the model cannot be had, and leave it alone for a while."""
        retry_after_s = entry.cooldown.load_failed(self._clock())
        error = refusals.load_failed(entry, exc, retry_after_s)
        if is_fault(exc):
            self._note("backend", entry.backend.name, error.message, exc)
        else:
            log.error("%s", error.message)
        entry.log_tail = _last_words(exc)
        self.last_error = error.message
        self._scheduler.refuse(entry, error)
        self._notify(
            ModelLoadFailed(
                model=entry.spec.id,
                reason=error.code,
                message=error.message,
                retry_after_s=retry_after_s,
            )
        )

    async def _watch(self, entry: ModelEntry, engine: Engine) -> None:
        """Ask again when the engine has died; one that is closed on purpose changes nothing."""
        await engine.wait_exited()
        self._scheduler.touch(entry)
        self._decide()

    def _on_death(self, death: Death) -> None:
        entry, failure = death.entry, death.failure
        self.last_error = f"{entry.spec.id}: {failure.message}"
        wait_s = entry.cooldown.remaining_s(self._clock())
        model, backend = entry.spec.id, entry.backend.name
        self._note("backend", backend, f"model {model!r}: {failure.message}")
        log.error("model %r has died; next load in %g s", model, wait_s)
        last_words.tell(model, backend, death.engine.log_tail())
        self._notify(WorkerExited(model=entry.spec.id, cause=failure.cause, detail=failure.message))

    async def _close(self, what: Close) -> None:
        await self._loader.close(what.entry, what.phase.residence.engine)
        self._gone(what.entry, what.instance, what.phase.reason)
        self._decide()

    def _gone(self, entry: ModelEntry, instance: Instance, reason: EvictionReason) -> None:
        # A watch that outlived its engine would hold on to it, and wake the pool for nothing.
        watch = self._watches.pop(instance, None)
        if watch is not None:
            watch.cancel()
        self._scheduler.gone(entry, instance, self._clock())
        self.evictions_total += reason is not EvictionReason.SHUTDOWN
        log.info("%s has left memory: %s", entry.spec.id, reason)
        self._notify(
            ModelEvicted(model=entry.spec.id, reason=reason, freed_bytes=instance.held_bytes)
        )


def _last_words(error: Exception) -> tuple[str, ...]:
    """Return what a load has left that failed: its worker's last lines, or else a traceback."""
    if isinstance(error, ModeldError) and error.log_tail:
        return error.log_tail
    cause = raised(error)
    return () if cause is None else last_words.traceback_of(cause)
