# SPDX-License-Identifier: GPL-3.0-only
"""The entries of the models in use: finds, makes, renews and drops them."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from modeld.device_bytes import DeviceBytes
from modeld.errors import (
    InternalError,
    InvalidModelError,
    ModeldError,
    ModelNotFoundError,
)
from modeld.hosting.daemon_threads import in_daemon_thread, submit
from modeld.interfaces import Backend
from modeld.plugins.faults import fault_in
from modeld.plugins.guard import described
from modeld.plugins.host import PluginHost
from modeld.serving.entry_maker import LIMIT_S, EntryMaker, in_time
from modeld.serving.models.capabilities import capabilities
from modeld.serving.models.estimate import estimate
from modeld.serving.models.fit_trials import CLEAR_SHARE, FitTrial, trials_of
from modeld.serving.models.options import is_loaded_alike, options_of
from modeld.serving.models.registry import Registry
from modeld.serving.pins import Pins
from modeld.serving.pool import Pool
from modeld.serving.state.memory_need import MemoryNeed
from modeld.serving.state.model_entry import ModelEntry
from modeld.settings import Settings
from modeld.settings.model_rows import DEFAULT_PRESET, shares_weights
from modeld.status import EvictionReason
from modeld.values import ModelSpec, Options

PLANNED: Final = 64
"""So many models that were only planned for keep what was measured for that."""

log = logging.getLogger("modeld.service")


class Found(NamedTuple):
    """What a request means: a model, and the entry that serves it.

    That is another model's entry where the model is a preset that shares its weights.
    """

    entry: ModelEntry
    spec: ModelSpec


class EntriesInUse:
    """Keeps the entries of ``pool`` to what ``registry`` says of the files.

    A model has an entry from its first request on. The pool's scheduler forgets those that were
    used longest ago.
    """

    def __init__(
        self,
        settings: Settings,
        plugins: PluginHost,
        registry: Registry,
        pool: Pool,
        capacity: DeviceBytes,
    ) -> None:
        self._settings = settings
        self._plugins = plugins
        self._registry = registry
        self._pool = pool
        self._entries = pool.scheduler.entries
        self._ledger = pool.scheduler.ledger
        self._capacity = capacity
        self._asked: dict[str, str] = {}
        self._pins = Pins(settings, registry.specs)
        self._planned: dict[str, ModelEntry] = {}
        self._stale: set[str] = set()
        self._maker = EntryMaker(self._new, self._note_hang)

    def close(self) -> None:
        """Refuse those who wait for an entry to be made."""
        self._maker.close()

    def known(self, model: str) -> ModelEntry | None:
        """Return the entry of a model that is in use, by any of its names."""
        return self._entries.get(self.entry_id(model))

    def entry_id(self, model: str) -> str:
        """Return the id of the model in whose entry a model of this name is; else the name."""
        model = self._registry.id_of(model)
        if model not in self._settings.presets:
            return model
        try:
            return self._served(self._registry.listed(model)).id
        except ModelNotFoundError:
            return model

    async def find(self, model: str, check_open: Callable[[], None]) -> Found:
        """Return the model that a request means, and its entry, as its file is now.

        ``check_open`` raises where no requests are taken any more; it is asked before each look.

        Raises:
            ModeldError: there is no such model, it cannot be used, or ``check_open`` said no.
        """
        while True:
            check_open()
            spec = await (self._named(model) if model else self._unnamed())
            served = self._served(spec)
            entry = self._entries.get(served.id)
            if entry is not None and self._is_current(entry, served):
                self._pin_again(entry)
                return Found(entry, spec)
            settings = self._settings
            made = self._made_for_plan(served) or await self._maker.make(served)
            # Meanwhile a scan may have found another file, and the settings may be others: what is
            # older must not come back.
            is_current = self._registry.known(served.id).version == made.spec.version
            if is_current and self._settings is settings:
                return Found(self._put(made), spec)

    async def looked_up(self, model: str, check_open: Callable[[], None]) -> ModelEntry:
        """Return the entry that a request would use, which does not come into use by that.

        Raises:
            ModeldError: as :meth:`find` raises it.
        """
        while True:
            check_open()
            spec = self._served(await (self._named(model) if model else self._unnamed()))
            entry = self._entries.get(spec.id)
            if entry is not None and self._is_current(entry, spec):
                return entry
            settings = self._settings
            made = self._made_for_plan(spec) or await self._maker.make(spec)
            if self._settings is settings:  # else what is older would be there for a request
                self._planned[spec.id] = made  # with what is measured for it, for the next request
                if len(self._planned) > PLANNED:
                    del self._planned[next(iter(self._planned))]
                return made

    def _made_for_plan(self, spec: ModelSpec) -> ModelEntry | None:
        """Take what was made for a plan, if it is for this version of the model."""
        planned = self._planned.pop(spec.id, None)
        return planned if planned is not None and planned.spec.version == spec.version else None

    def _is_current(self, entry: ModelEntry, spec: ModelSpec) -> bool:
        """Return whether an entry is for this version of the model, and for these settings."""
        return entry.spec.version == spec.version and spec.id not in self._stale

    def _pin_again(self, entry: ModelEntry) -> None:
        """Pin what the settings pin where it was gone for a while, which has unpinned it."""
        if entry.was_gone:
            entry.was_gone = False
            if entry.spec.id in self._pins.wanted():
                self._pool.pin(entry, pinned=True)

    def note_pin(self, model: str, *, pinned: bool) -> None:
        """Go by what somebody says of a model that the settings pin, until they are read again."""
        self._pins.note(model, pinned=pinned)

    async def reconfigure(self, settings: Settings) -> None:
        """Go by other settings. Models whose options or backend are others now are renewed.

        What runs on one of those goes on with what it has; who waits gets the new one.
        """
        # Beside the event loop: all models are looked at.
        pinned_before = await in_daemon_thread(self._pins.wanted)
        pins = Pins(settings, self._registry.specs)
        pinned = await in_daemon_thread(pins.wanted)
        self._settings, self._pins = settings, pins
        self._planned.clear()
        self._maker.forget()
        for entry in list(self._entries.values()):
            entry.queue.max_depth = settings.max_queue_depth
            entry.max_idle_s = self._max_idle_s(entry.options)
            self._pool.scheduler.touch(entry)  # whatever was decided meanwhile
        for model in pinned ^ pinned_before:
            if (used := self._entries.get(model)) is not None:
                self._pool.pin(used, pinned=model in pinned)
        self._pool.reconsider()
        entries = list(self._entries.values())
        looking = asyncio.wrap_future(submit(partial(self._outdated, entries)))
        # Where a backend hangs, each model is looked at when it is asked for.
        outdated = looking.result() if await in_time(looking) else []
        self._stale = {entry.spec.id for entry in (outdated if looking.done() else entries)}
        await asyncio.gather(*map(self._renew, outdated))

    async def _renew(self, entry: ModelEntry) -> None:
        """Make an entry anew for these settings, unless a request has done so meanwhile."""
        spec, settings = entry.spec, self._settings
        try:
            made = await self._maker.make(spec)
        except Exception as exc:  # noqa: BLE001  (the other models go by the new settings too)
            error = exc if isinstance(exc, ModeldError) else InternalError(described(exc))
            entry.queue.fail(error)  # who asks next is told too
            self._pool.drain(entry, EvictionReason.SETTINGS_CHANGED)
            return
        is_in_use = self._entries.get(spec.id) is entry and entry.spec is spec
        if is_in_use and self._settings is settings:
            self._put(made)

    def _outdated(self, entries: list[ModelEntry]) -> list[ModelEntry]:
        """Return those of models that the settings want served in another way."""
        return [entry for entry in entries if self._is_outdated(entry)]

    def _is_outdated(self, entry: ModelEntry) -> bool:
        try:
            backend = self._plugins.choose_backend(entry.spec)
            return backend is not entry.backend or entry.options != options_of(
                entry.spec, self._settings, backend
            )
        except ModeldError:
            return True

    def drop_vanished(self) -> None:
        """Let go of the models that no source has any more, or whose file cannot be used now."""
        for entry in list(self._entries.values()):  # the pool may forget some meanwhile
            if entry.has_nothing_left:
                continue
            try:
                spec = self._registry.listed(entry.spec.id)
            except ModelNotFoundError as exc:
                self._pool.vanish(entry, exc)
                continue
            if spec.problem is not None:
                why = f"model {spec.id!r} cannot be used: {spec.problem}"
                self._pool.vanish(entry, InvalidModelError(why))

    def label(self, model: str) -> str:
        """Return a model's id if it is in use."""
        # What clients send must not become a metric's label: there is no end to what they send.
        name = self.entry_id(model or self.default())
        return name if name in self._entries else ""

    def default(self) -> str:
        """Return the model of requests that name none, as far as there is one; else nothing."""
        usable = self._registry.usable
        return self._chosen or (usable[0] if len(usable) == 1 else "")

    @property
    def _chosen(self) -> str:
        """Return the default model of the settings, by their key or by the preset's name."""
        preset = DEFAULT_PRESET if DEFAULT_PRESET in self._settings.presets else ""
        return self._settings.default_model or preset

    def _put(self, made: ModelEntry) -> ModelEntry:
        """Let ``made`` count from now on, unless another request has done so for the same file.

        An entry that is there is renewed and never replaced: its queue has requests in it, and its
        instances hold bytes that the ledger counts.
        """
        entry = self._entries.get(made.spec.id)
        if entry is None:
            entry = self._entries[made.spec.id] = made
        elif entry.spec.version != made.spec.version:
            entry.renew(made)
            self._pool.drain(entry, EvictionReason.FILE_CHANGED)
        elif entry.backend is not made.backend or not is_loaded_alike(entry.options, made.options):
            entry.renew(made)
            self._pool.drain(entry, EvictionReason.SETTINGS_CHANGED)
        else:
            entry.options, entry.max_idle_s = made.options, made.max_idle_s
            self._pool.scheduler.touch(entry)
            self._pool.reconsider()
        self._stale.discard(made.spec.id)
        return entry

    async def _named(self, model: str) -> ModelSpec:
        entry = self.known(model)
        return await self._registry.find(model, is_open=entry is not None and bool(entry.ready()))

    async def _unnamed(self) -> ModelSpec:
        """Return the model of requests that name none: the default, else the only usable one."""
        default = self._chosen
        if not default:
            return await self._named(await self._registry.only())
        try:
            return await self._named(default)
        except ModelNotFoundError as exc:
            why = f"the request names no model, and for default_model {exc.message}"
            raise ModelNotFoundError(why, field="model") from exc

    def _served(self, spec: ModelSpec) -> ModelSpec:
        """Return the model in whose entry a model is: its own, or that of which it is a preset."""
        shares = shares_weights(spec, self._settings) and spec.problem is None
        return self._registry.listed(spec.preset_of) if shares else spec

    def _new(self, spec: ModelSpec) -> ModelEntry:
        backend = self._plugins.choose_backend(spec)
        self._asked[spec.id] = backend.name
        try:
            return self._made(spec, backend)
        except ModeldError as exc:
            if fault_in(exc) is not None:
                self._plugins.faults.note("backend", backend.name, exc.message, exc)
            else:
                log.warning("%r cannot be served: %s", spec.id, exc.message)
            raise
        finally:
            self._asked.pop(spec.id, None)

    def _note_hang(self, spec: ModelSpec) -> None:
        name = self._asked.get(spec.id)
        if name is not None:  # else it hangs before a backend is asked
            message = f"backend {name!r} has not said for {LIMIT_S:g} s what {spec.id!r} needs"
            self._plugins.faults.note("backend", name, message)

    def _made(self, spec: ModelSpec, backend: Backend) -> ModelEntry:
        options = options_of(spec, self._settings, backend)
        estimated, most = estimate(backend, spec, options), self._ledger.ever
        trials: tuple[FitTrial, ...] = ()
        # What fits clearly is never measured, and to ask for steps takes time with thousands.
        if not estimated.times(CLEAR_SHARE).fits_within(most):
            trials = trials_of(backend, spec, options, self._settings, estimated.within(most))
        need = MemoryNeed(estimated, is_measurable=True, most=self._capacity, trials=trials)
        return ModelEntry(
            spec,
            backend,
            options,
            need,
            max_queue_depth=self._settings.max_queue_depth,
            max_idle_s=self._max_idle_s(options),
            capabilities=capabilities(backend, spec, options),
            pinned=spec.id in self._pins.wanted(),
        )

    def _max_idle_s(self, options: Options) -> float:
        own_s, shared_s = options.max_idle_s, self._settings.max_idle_s
        return (shared_s if own_s is None else own_s) or math.inf
