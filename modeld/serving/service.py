# SPDX-License-Identifier: GPL-3.0-only
"""The models of this machine, behind the verbs that the outside may use."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from fnmatch import fnmatchcase
from typing import Final

from modeld.errors import (
    DrainingError,
    InternalError,
    LoadFailedError,
    ModeldError,
    ModelNotFoundError,
)
from modeld.hosting.host import hosting
from modeld.interfaces import Engine, ModelService
from modeld.plugins import PluginHost
from modeld.questions import (
    AnyQuestion,
    ApplyTemplateQuestion,
    DetokenizeQuestion,
    Reply,
    TokenizeQuestion,
)
from modeld.serving.budget import Ledger
from modeld.serving.instance import Place
from modeld.serving.meter import Meter
from modeld.serving.need import Need
from modeld.serving.options import options_for
from modeld.serving.pool import Pool
from modeld.serving.registry import Registry
from modeld.serving.turns import Turns
from modeld.settings import Settings
from modeld.values import (
    Chunk,
    EvictionReason,
    GenerateRequest,
    ModelSpec,
    PluginStatus,
    Readiness,
    ServiceState,
    ServiceStatus,
    Token,
)

UNCOMPUTED: Final = (TokenizeQuestion, DetokenizeQuestion, ApplyTemplateQuestion)
"""Questions for which the model computes nothing; they tell nothing of how long others take."""

log = logging.getLogger("modeld.service")


class LocalService(ModelService):
    """Registry, pool and budget of one machine. It belongs to the event loop that starts it."""

    def __init__(self, settings: Settings, plugins: PluginHost) -> None:
        self._settings = settings
        self._plugins = plugins
        self._state = ServiceState.STARTING
        self._start = asyncio.Lock()
        self._closing: asyncio.Task[None] | None = None
        self._started_s = time.monotonic()
        limit = settings.budget_bytes
        self._turns = Turns(
            Ledger(limit - settings.margin_bytes if limit is not None else None),
            plugins.policy(),
            min_residence_s=settings.min_residence_s,
            max_overtake_s=settings.max_overtake_s,
        )
        self._registry = Registry(plugins.sources.values())
        self._pool = Pool(
            self._turns,
            hosting(settings, tuple(plugins.backends.values())),
            load_timeout_s=settings.load_timeout_s,
            notify=plugins.notify,
        )

    async def start(self) -> None:
        """Find the models, check their options, start spare workers.

        Raises:
            ConfigurationError: an option in the settings is wrong for a model that was found.
        """
        async with self._start:
            if self._state is not ServiceState.STARTING:
                return
            await self._registry.refresh()
            self._check_options()
            self._tell_of_models()
            await self._pool.start()
            if self._is_starting:  # it may have been closed meanwhile
                self._state = ServiceState.RUNNING

    @property
    def _is_starting(self) -> bool:
        return self._state is ServiceState.STARTING

    async def drain(self, timeout_s: float) -> None:
        """Refuse new work at once, let running requests finish, then end everything."""
        if self._state is not ServiceState.CLOSED:
            self._state = ServiceState.DRAINING
            await self._pool.finish(timeout_s)
        await self.aclose()

    async def aclose(self) -> None:
        """End everything. Requests that still run get an error as their last line."""
        self._state = ServiceState.CLOSED
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close())
        await asyncio.shield(self._closing)  # whoever is cancelled here, the rest is still closed

    async def _close(self) -> None:
        await self._registry.aclose()
        await self._pool.aclose()

    async def infer(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        """Wait for the model and a slot, then yield what the engine produces."""
        async with (
            self._serving(request) as (engine, meter),
            aclosing(engine.generate(request)) as chunks,
        ):
            async for chunk in chunks:
                if isinstance(chunk, Token):
                    meter.token(chunk)
                    yield chunk
                else:
                    yield meter.done(chunk)

    async def ask(self, question: AnyQuestion) -> Reply:
        """Wait for the model and a slot, then return what the engine replies."""
        async with self._serving(question) as (engine, meter):
            return meter.replied(await engine.ask(question))

    @asynccontextmanager
    async def _serving(
        self, request: GenerateRequest | AnyQuestion
    ) -> AsyncIterator[tuple[Engine, Meter]]:
        """Keep the model and a slot until the block ends, and tell observers of it."""
        meter = Meter(request.request_id)
        try:
            place = await self._place(request.model)
            async with self._pool.lease(
                place,
                max_wait_s=self._settings.max_wait_s,
                in_forecast=not isinstance(request, UNCOMPUTED),
            ) as engine:
                self._plugins.notify(meter.started(place.spec.id, place.tally))
                yield engine, meter
        except Exception as exc:
            meter.outcome = exc.code if isinstance(exc, ModeldError) else InternalError.code
            raise
        finally:
            self._plugins.notify(meter.ended(self._label(request.model)))

    async def models(self) -> Sequence[ModelSpec]:
        """All known models."""
        return self._registry.specs()

    async def refresh(self) -> Sequence[ModelSpec]:
        """Look for models again."""
        await self._registry.refresh()
        return self._registry.specs()

    async def load(self, model: str) -> None:
        """Bring a model into memory, in its turn."""
        place = await self._place(model)
        async with self._pool.lease(place, max_wait_s=self._settings.max_wait_s, needs_slot=False):
            pass

    async def unload(self, model: str) -> None:
        """Take a model out of memory once its requests are over."""
        place = self._turns.places.get(model)
        if place is None:
            self._registry.known(model)
        else:
            await self._pool.unload(place)

    async def pin(self, model: str, *, pinned: bool) -> None:
        """Keep a model in memory whoever needs room, or no longer. It loads nothing."""
        place = self._turns.places.get(model)
        if place is None and not pinned:
            self._registry.known(model)
            return
        self._pool.pin(place or await self._place(model), pinned=pinned)

    async def status(self) -> ServiceStatus:
        """A snapshot of everything."""
        now_s = time.monotonic()
        places = self._turns.places.values()
        return ServiceStatus(
            state=self._state,
            instances=tuple(place.status(now_s) for place in places),
            budget_bytes=self._settings.budget_bytes,
            held_bytes=self._turns.ledger.held_bytes,
            margin_bytes=self._settings.margin_bytes,
            loads_total=sum(place.loads_total for place in places),
            evictions_total=self._pool.evictions_total,
            uptime_s=now_s - self._started_s,
            spare_workers=self._pool.spares,
            error="; ".join(self._registry.errors.values()) or None,
            last_error=self._pool.last_error,
        )

    async def ready(self, model: str | None = None) -> Readiness:
        """Whether a model (this one, if named) is in memory, or whether requests are taken."""
        if self._state is not ServiceState.RUNNING:
            return Readiness(ready=False, reason=str(self._state))
        if model is not None and self._registry.known(model).problem is not None:
            return Readiness(ready=False, reason="invalid_model")
        if self._settings.readiness == "accepting":
            return Readiness(ready=True, reason="accepting")
        loaded = {place.spec.id for place in self._turns.ready()}
        ready = model in loaded if model is not None else bool(loaded)
        return Readiness(ready=ready, reason="ready" if ready else "loading")

    async def plugins(self) -> Sequence[PluginStatus]:
        """The installed plugins."""
        return self._plugins.statuses()

    async def _place(self, model: str) -> Place:
        """Where the named (or default) model stands, as its file is now."""
        if self._state is not ServiceState.RUNNING:
            raise DrainingError("the server takes no requests now", retry_after_s=1)
        name = model or self._settings.default_model
        if not name:
            raise ModelNotFoundError(
                "the request names no model and there is no default_model in the settings",
                field="model",
            )
        spec = await self._registry.find(name)
        place = self._turns.places.get(spec.id)
        if place is None:
            place = self._turns.places[spec.id] = self._new_place(spec)
        elif place.spec.stamp != spec.stamp:
            place.renew(self._new_place(spec))
            self._pool.drain(place, EvictionReason.FILE_CHANGED)
        return place

    def _new_place(self, spec: ModelSpec) -> Place:
        backend = self._plugins.choose_backend(spec)
        options = options_for(spec.id, self._settings.models, backend)
        try:
            estimated_bytes = backend.estimate(spec, options).total_bytes
        except Exception as exc:
            log.exception("backend %r could not estimate %r", backend.name, spec.id)
            raise LoadFailedError(f"backend {backend.name!r} could not estimate it: {exc}") from exc
        need = Need(estimated_bytes, is_measurable=True)
        return Place(spec, backend, options, need, max_queue_depth=self._settings.max_queue_depth)

    def _check_options(self) -> None:
        for spec in self._registry.specs():
            if spec.problem is None and self._plugins.backends:
                try:
                    backend = self._plugins.choose_backend(spec)
                except ModeldError:
                    continue
                options_for(spec.id, self._settings.models, backend)

    def _tell_of_models(self) -> None:
        specs = self._registry.specs()
        usable = [spec.id for spec in specs if spec.problem is None]
        level = logging.INFO if usable else logging.WARNING
        log.log(level, "%d models found, %d of them usable", len(specs), len(usable))
        for pattern in self._settings.models:
            if not any(fnmatchcase(spec.id, pattern) for spec in specs):
                log.warning("models[%r] in the settings matches none of the models found", pattern)
        default = self._settings.default_model
        if default and default not in {spec.id for spec in self._registry.specs()}:
            log.warning("default_model %r is not among the models found", default)

    def _label(self, model: str) -> str:
        """A model's id if there is one: what clients send must not become a metric's label."""
        name = model or self._settings.default_model
        return name if name in self._turns.places else ""
