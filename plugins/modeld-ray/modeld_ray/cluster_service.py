# SPDX-License-Identifier: GPL-3.0-only
"""The models of all hosts, behind the verbs that the HTTP application knows."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Coroutine,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing, contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from modeld import ModelService, Settings
from modeld.errors import DrainingError, ModeldError, ModelNotFoundError
from modeld.events import Event
from modeld.requests import AnyUnaryRequest, GenerateRequest, KeepAliveSeconds
from modeld.responses import AnyUnaryResponse, Chunk, Placed
from modeld.status import ModelPlan, Readiness, ServiceState, ServiceStatus
from modeld.values import ModelSpec, PluginStatus
from modeld_ray.crossing import Pin, named, values_of
from modeld_ray.errors import RETRY_S, NoHostError
from modeld_ray.knowledge import Knowledge
from modeld_ray.routing.placement import Wish
from modeld_ray.sending import Sending
from modeld_ray.settings import RaySettings

if TYPE_CHECKING:
    from modeld_ray.hosts import Hosts

log = logging.getLogger("modeld.ray")

FIRST_LOOK_S: Final = 10.0
"""So long a start waits for the first host; without one it serves errors until one is up."""

_FOLLOWS: Final[ContextVar[bool]] = ContextVar("follows", default=False)
"""Whether a reload is one that the hosts have made already."""


class ClusterService(ModelService):
    """Hands each request to a host; each keeps its own queues, budget and workers.

    ``notify`` is told what happens on all hosts. ``follow`` is called when the hosts have taken
    over other settings at the word of another ingress.
    """

    def __init__(
        self, hosts: Hosts, settings: RaySettings, notify: Callable[[Event], None]
    ) -> None:
        self._hosts = hosts
        self._settings = settings
        self._notify = notify
        self._state = ServiceState.STARTING
        self._knowledge = Knowledge()
        self._sending = Sending(hosts, settings, self._knowledge)
        self._reloads: Mapping[str, int] = {}
        self._following: set[asyncio.Task[None]] = set()
        self.follow: Callable[[], Awaitable[object]] | None = None
        self._started_s = time.monotonic()
        self._watching: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._serves = 0
        self._idle = asyncio.Event()

    async def start(self) -> None:
        """Find out which hosts there are."""
        if self._state is not ServiceState.STARTING:
            return
        self._state = ServiceState.RUNNING
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LOOK_S):
                await self._look()
                while not self._knowledge.hosts:
                    await asyncio.sleep(self._settings.refresh_s)
                    await self._look()
        self._watching = asyncio.create_task(self._watch(), name="modeld-ray-watch")

    async def drain(self, timeout_s: float) -> None:
        """Refuse new requests here and let those that run finish; the hosts serve others on."""
        if self._state is not ServiceState.CLOSED:
            self._state = ServiceState.DRAINING
            self._idle.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    if self._serves:
                        await self._idle.wait()
        await self.aclose()

    async def aclose(self) -> None:
        """Give up what runs through here; the hosts stay."""
        self._state = ServiceState.CLOSED
        self._hosts.close()
        for task in (self._watching, self._looking, *self._following):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        """Yield what a host generates."""
        async with aclosing(self.generate_placed(request)) as chunks:
            async for chunk in chunks:
                if not isinstance(chunk, Placed):
                    yield chunk

    async def generate_placed(
        self, request: GenerateRequest
    ) -> AsyncGenerator[Placed | Chunk, None]:
        """Yield it, and first which host serves the request and what it had to wait for."""
        with self._serving():
            async with aclosing(self._sending.generate(request)) as chunks:
                async for chunk in chunks:
                    yield chunk

    async def submit(self, request: AnyUnaryRequest) -> AnyUnaryResponse:
        """Return a host's response."""
        return (await self.submit_placed(request))[1]

    async def submit_placed(
        self, request: AnyUnaryRequest
    ) -> tuple[Placed | None, AnyUnaryResponse]:
        """Return it, and which host it is from."""
        with self._serving():
            found: tuple[Placed | None, AnyUnaryResponse] = await self._sending.submit(request)
        return found

    async def models(self) -> Sequence[ModelSpec]:
        """Return the models of all hosts, each once."""
        return self._knowledge.models

    async def known(self, model: str) -> ModelSpec:
        """Return the model of this name; the names of thousands are not made anew for it."""
        return self._knowledge.model(model) or await super().known(model)

    async def default_model(self) -> str:
        """Return that of any host: they have the same settings."""
        if not self._knowledge.hosts:
            return ""
        with self._serving():
            found: str = await self._sending.ask_any("default_model")
        return found

    async def refresh(self) -> Sequence[ModelSpec]:
        """Have all hosts look for models, and return all."""
        await self._hosts.ask_all("refresh")
        await self._look()
        return self._knowledge.models

    async def reconfigure(self, settings: Settings) -> None:  # noqa: ARG002  (each reads its own)
        """Have all hosts read their settings again, once all have said that they can.

        Raises:
            ConfigurationError: a host cannot; where it could not read them, nothing has changed.
            NotSupportedError: the hosts were not told where the settings are.
        """
        if not _FOLLOWS.get():
            for verb in ("check", "reload"):
                for outcome in await self._hosts.ask_all(verb):
                    if (error := named(outcome)) is not None:
                        raise error

    async def load(
        self, model: str, *, keep_alive_s: KeepAliveSeconds | None = None, fit: bool = True
    ) -> None:
        """Bring a model into memory on the host that requests for it go to."""
        with self._serving():
            await self._sending.ask("load", model, keep_alive_s=keep_alive_s, fit=fit)

    async def unload(self, model: str) -> None:
        """Take a model out of memory on all hosts."""
        await self._everywhere("unload", model)

    async def pin(self, model: str, *, pinned: bool) -> None:
        """Keep a model in memory on every host that has it there, or no longer.

        Hosts that start later are told too.
        """
        await self._everywhere("pin", model, pin=Pin(pinned, time.time()))

    async def plan(self, model: str) -> ModelPlan:
        """Return what the host would do that a request for the model would go to now."""
        with self._serving():
            found: ModelPlan = await self._sending.ask("plan", model)
        return found

    async def status(self) -> ServiceStatus:
        """Return the status of all hosts, asked for now."""
        await self._look()
        return self._knowledge.status(time.monotonic() - self._started_s, self._state)

    async def ready(self, model: str | None = None) -> Readiness:
        """Return whether any host is."""
        if self._state is not ServiceState.RUNNING:
            return Readiness(ready=False, reason=str(self._state))
        outcomes = await self._hosts.ready(model)
        found: list[Readiness] = values_of(outcomes, [ModelNotFoundError])
        if not found:
            return Readiness(ready=False, reason="loading")
        return next((each for each in found if each.ready), found[0])

    async def plugins(self) -> Sequence[PluginStatus]:
        """Return the plugins of one host: all have the same."""
        outcomes = await self._hosts.plugins()
        return outcomes[0].value if outcomes else ()

    async def _everywhere(self, verb: str, model: str, **kwargs: Any) -> None:
        """Have all hosts do it.

        Raises:
            ModeldError: none could; that the model is unknown to some is no failure.
        """
        self._check_running()
        outcomes = await self._hosts.ask_all(verb, model, **kwargs)
        if not outcomes:
            raise NoHostError("no host is up", retry_after_s=RETRY_S)
        values_of(outcomes, [ModelNotFoundError])

    @contextmanager
    def _serving(self) -> Iterator[None]:
        """Count a request that goes through here until the block ends.

        Raises:
            DrainingError: none does now.
        """
        self._check_running()
        self._serves += 1
        try:
            yield
        finally:
            self._serves -= 1
            if not self._serves:
                self._idle.set()

    def _check_running(self) -> None:
        if self._state is not ServiceState.RUNNING:
            raise DrainingError("the server takes no requests now", retry_after_s=1)

    async def _watch(self) -> None:
        """Look at the hosts again and again."""
        while True:
            await asyncio.sleep(self._settings.refresh_s)
            try:
                await self._look()
            except Exception:  # whatever Ray raises, the next look may be better
                log.exception("the hosts could not be asked how they are")

    async def _look(self) -> None:
        """Ask all hosts how they are; those who want to know at the same time share one look."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._learn(), name="modeld-ray-look")
        await asyncio.shield(self._looking)

    async def _learn(self) -> None:
        reports = await self._hosts.reports(self._knowledge.cursors())
        self._knowledge.learn(reports, time.monotonic())
        for report in reports:
            for event in report.events:
                self._notify(event)
        for host, model, pin in self._knowledge.unaware():
            self._spawn(self._tell_pin(host, model, pin))
        before, self._reloads = self._reloads, self._knowledge.reloads()
        if any(count > before.get(host, count) for host, count in self._reloads.items()):
            self._spawn(self._reload_too())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work, name="modeld-ray-follow")
        self._following.add(task)
        task.add_done_callback(self._following.discard)

    async def _tell_pin(self, host: str, model: str, pin: Pin) -> None:
        """Tell a host that has started later what was said of a pin; the next look tries again."""
        with suppress(ModeldError):
            await self._hosts.ask("pin", model, pin=pin, wish=Wish(model=model, only=host))

    async def _reload_too(self) -> None:
        """Take over settings here that the hosts have taken over already."""
        if self.follow is not None:
            _FOLLOWS.set(True)  # in this task alone
            with suppress(ModeldError):  # it is logged, and `/status` says it
                await self.follow()
