# SPDX-License-Identifier: GPL-3.0-only
"""One host: the whole of modeld on one node or GPU, without HTTP and without Ray."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, Final

from msgspec.structs import replace

from modeld import ModeldApp, ModeldError, Observer, Settings, create_app, hookimpl
from modeld.errors import (
    ConfigurationError,
    InternalError,
    InvalidSettingsError,
    NotSupportedError,
)
from modeld.events import Event, HostEvent
from modeld.requests import AnyUnaryRequest, GenerateRequest
from modeld.responses import AnyUnaryResponse, Placed
from modeld.status import InstanceState, ModelPlan, ServiceState, ServiceStatus
from modeld.values import ModelSpec
from modeld_ray.batching import gathered
from modeld_ray.crossing import Crossed, Cursor, HostReport, Message, Outcome, Pin, Taken, written
from modeld_ray.exposition import exposition_of
from modeld_ray.routing.placement import HostView, ModelView
from modeld_ray.settings import RaySettings

MOST_EVENTS: Final = 4096
"""So many events are kept for ingresses that have not asked yet."""

SIGN_OF_LIFE_S: Final = 1.0
"""After so long without a token a host says that it is still there."""

VERBS: Final = frozenset({"load", "unload", "plan", "known", "default_model", "ready", "refresh"})
"""What an ingress may ask of a host's service by name; the host has a few verbs of its own."""


class HostEvents(Observer):
    """Keeps the latest events, marked with the host's name."""

    name = "ray-host"

    def __init__(self, host: str) -> None:
        self._host = host
        self.seq = 0
        self._events: deque[tuple[int, Event]] = deque(maxlen=MOST_EVENTS)

    def notify(self, event: Event) -> None:
        """Keep one event, if it is one of models and requests."""
        if isinstance(event, HostEvent):
            self.seq += 1
            self._events.append((self.seq, replace(event, host=self._host)))

    def after(self, seq: int) -> tuple[Event, ...]:
        """Return the events after one, the oldest first."""
        return tuple(event for number, event in self._events if number > seq)

    @hookimpl
    def modeld_register_observers(self) -> Iterable[Observer]:
        """Bring this."""
        return [self]


class Host:
    """What an ingress talks to.

    ``name`` is another one after each start. ``plugins`` take part beside the installed ones.
    """

    def __init__(
        self,
        name: str,
        node: str,
        settings: Settings,
        plugins: Mapping[str, object] = {},
        read: Callable[[], Settings] | None = None,
    ) -> None:
        self.name = name
        self._node = node
        self._window_s = settings.of(RaySettings).window_ms / 1000
        self._events = HostEvents(name)
        self._read = None if read is None else partial(_own, read)
        self._app: ModeldApp = create_app(
            _own(lambda: settings), {"ray-host": self._events, **plugins}, read=self._read
        )
        self._specs: tuple[ModelSpec, ...] = ()
        self._specs_version = 1
        self._seq = 0
        self._pins: dict[str, Pin] = {}
        self._reloads = 0
        self._own_verbs: Mapping[str, Callable[..., Awaitable[object]]] = {
            "submit_placed": self._submit_placed,
            "pin": self._pin,
            "check": self._check,
            "reload": self._reload,
        }
        self._unread: str | None = None

    async def start(self) -> None:
        """Find the models and start warm workers."""
        await self._app.start()

    async def aclose(self) -> None:
        """End all workers."""
        await self._app.aclose()

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[bytes, None]:
        """Yield the messages of one generation; an error is the last of them."""
        yield written([Taken(host=self.name)])
        batches = gathered(
            self._generated(request),
            window_s=self._window_s,
            idle_s=SIGN_OF_LIFE_S,
            clock=time.monotonic,
        )
        async with aclosing(batches):
            try:
                async for batch in batches:
                    yield written(batch)
            except ModeldError as exc:
                yield written([Crossed.of(exc)])

    async def _generated(self, request: GenerateRequest) -> AsyncGenerator[Message, None]:
        async with aclosing(self._app.service.generate_placed(request)) as chunks:
            async for chunk in chunks:
                yield replace(chunk, host=self.name) if isinstance(chunk, Placed) else chunk

    async def respond(
        self, verb: str, *args: Any, **kwargs: Any
    ) -> AsyncGenerator[Outcome | None, None]:
        """Yield what :meth:`ask` returns, and before it ``None`` as a sign of life."""
        asking = asyncio.ensure_future(self.ask(verb, *args, **kwargs))
        try:
            while not (await asyncio.wait([asking], timeout=SIGN_OF_LIFE_S))[0]:
                yield None
            yield asking.result()
        finally:
            asking.cancel()
            await asyncio.wait([asking])

    async def ask(self, verb: str, *args: Any, **kwargs: Any) -> Outcome:
        """Return what a verb of the service returns, or its error."""
        if verb not in VERBS and verb not in self._own_verbs:
            return self._refusal(InternalError(f"hosts are not asked to {verb}"))
        call = self._own_verbs.get(verb) or getattr(self._app.service, verb)
        try:
            value = await call(*args, **kwargs)
        except ModeldError as exc:
            return self._refusal(exc)
        if isinstance(value, ModelPlan):
            value = replace(value, host=self.name)
        return Outcome(host=self.name, value=value)

    async def _submit_placed(
        self, request: AnyUnaryRequest
    ) -> tuple[Placed | None, AnyUnaryResponse]:
        placed, response = await self._app.service.submit_placed(request)
        return placed and replace(placed, host=self.name), response

    async def _pin(self, model: str, pin: Pin) -> None:
        """Pin a model or no longer, unless something later was said of it."""
        known = self._pins.get(model)
        if known is not None and known.said_s > pin.said_s:
            return
        self._pins[model] = pin  # also where the model is not here: all has been done then
        await self._app.service.pin(model, pinned=pin.pinned)

    async def _check(self) -> None:
        """Read the settings again and leave all as it is.

        Raises:
            InvalidSettingsError: they cannot be used.
            NotSupportedError: they came from no file.
        """
        if self._read is None:
            raise NotSupportedError(
                "the cluster was not told where its settings are; set ray.settings_file"
            )
        try:
            await asyncio.to_thread(self._read)
        except ConfigurationError as exc:
            self._unread = exc.message
            raise InvalidSettingsError(exc.message, field=exc.field) from exc
        self._unread = None

    async def _reload(self) -> None:
        await self._app.reloading.reload()
        self._reloads += 1

    async def report(self, cursors: Mapping[str, Cursor]) -> HostReport:
        """Return how this host is, and what the reader does not know yet."""
        # Who looks for the first time is told nothing of what was before.
        unknown = Cursor(event_seq=0 if cursors else self._events.seq)
        cursor = cursors.get(self.name, unknown)
        specs = tuple(await self._app.service.models())
        if specs != self._specs:
            self._specs, self._specs_version = specs, self._specs_version + 1
        known = cursor.specs_version == self._specs_version
        return HostReport(
            host=self.name,
            node=self._node,
            status=await self._status(),
            events=self._events.after(cursor.event_seq),
            event_seq=self._events.seq,
            specs=None if known else specs,
            specs_version=self._specs_version,
            pins=self._pins,
            reloads=self._reloads,
        )

    async def metrics(self) -> tuple[str, str, str]:
        """Return this host, its node, and its metrics as Prometheus' text."""
        return self.name, self._node, await exposition_of(self._app)

    async def plugins(self) -> Outcome:
        """Return the plugins of this host."""
        return Outcome(host=self.name, value=tuple(await self._app.service.plugins()))

    async def stats(self) -> dict[str, Any]:
        """Return what routers go by, as plain data."""
        self._seq += 1
        return view_of(self.name, self._seq, await self._app.service.status()).stats()

    async def is_closed(self) -> bool:
        """Return whether the service of this host has ended."""
        return (await self._app.service.status()).state is ServiceState.CLOSED

    def _refusal(self, error: ModeldError) -> Outcome:
        return Outcome(host=self.name, error=Crossed.of(error))

    async def _status(self) -> ServiceStatus:
        status = await self._app.service.status()
        marked = (replace(each, host=self.name, node=self._node) for each in status.instances)
        errors = dict.fromkeys((status.error, self._unread, self._app.reloading.error))
        error = "; ".join(filter(None, errors)) or None
        return replace(status, instances=tuple(marked), error=error)


def _own(read: Callable[[], Settings]) -> Settings:
    """Return the settings of a host: only ingresses are reached by HTTP, and ask for keys."""
    return replace(read(), api_key_file="")


def view_of(host: str, seq: int, status: ServiceStatus) -> HostView:
    """Return what routers need to know of a host's state."""
    there = (InstanceState.LOADING, InstanceState.READY)
    budget = status.budget_bytes
    limit = None if budget is None else budget - status.margin_bytes
    idle = [
        each
        for each in status.instances
        if each.state is InstanceState.READY
        and not (each.pinned or each.inflight or each.queue_len)
    ]
    return HostView(
        id=host,
        seq=seq,
        budget_bytes=limit,
        free_bytes=None if limit is None else limit - status.held_bytes,
        evictable_bytes=sum(each.held_bytes for each in idle),
        takes_requests=status.state in (ServiceState.STARTING, ServiceState.RUNNING),
        models={
            each.model_id: ModelView(
                each.inflight, each.queue_len, each.slots, each.max_queue_depth
            )
            for each in status.instances
            if each.state in there or each.queue_len
        },
    )
