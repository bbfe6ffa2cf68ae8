# SPDX-License-Identifier: GPL-3.0-only
"""The models of all hosts, behind the verbs that the HTTP application knows."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from modeld import ModelService
from modeld.errors import DrainingError, ModeldError, ModelNotFoundError
from modeld.events import Event
from modeld.requests import AnyUnaryRequest, GenerateRequest, KeepAliveSeconds
from modeld.responses import AnyUnaryResponse, Chunk
from modeld.status import ModelPlan, Readiness, ServiceState, ServiceStatus
from modeld.values import ModelSpec, PluginStatus
from modeld_ray.crossing import Outcome, Placed
from modeld_ray.errors import RETRY_S, NoHostError
from modeld_ray.knowledge import Knowledge
from modeld_ray.routing.attempts import Attempts
from modeld_ray.routing.chats import Chats, key_of
from modeld_ray.routing.placement import Wish
from modeld_ray.routing.quarantine import Quarantine
from modeld_ray.settings import RaySettings

if TYPE_CHECKING:
    from modeld_ray.hosts import Hosts

log = logging.getLogger("modeld.ray")

FIRST_LOOK_S: Final = 10.0
"""So long a start waits for the first host; without one it serves errors until one is up."""


class ClusterService(ModelService):
    """Hands each request to a host; each keeps its own queues, budget and workers.

    ``notify`` is told what happens on all hosts.
    """

    def __init__(
        self, hosts: Hosts, settings: RaySettings, notify: Callable[[Event], None]
    ) -> None:
        self._hosts = hosts
        self._settings = settings
        self._notify = notify
        self._state = ServiceState.STARTING
        self._knowledge = Knowledge()
        self._chats = Chats()
        self._quarantine = Quarantine(settings.quarantine_losses, settings.quarantine_s)
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
        for task in (self._watching, self._looking):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        """Yield what a host generates; another one is tried only before the first chunk."""
        wish = self._wish(request)
        attempts = self._attempts(wish.model)
        self._serves += 1
        try:
            while True:
                wish = replace(wish, exclude=attempts.tried)
                host, begun = "", False
                try:
                    async with aclosing(self._hosts.generate(request, wish)) as batches:
                        async for batch in batches:
                            for message in batch:
                                if isinstance(message, Placed):
                                    host = message.host
                                    self._chats.note(wish.key, host)
                                    continue
                                begun = True
                                yield message  # type: ignore[misc]  # errors are raised by then
                    self._quarantine.note_served(wish.model)
                except ModeldError as exc:
                    attempts.note(exc, host, begun=begun)
                else:
                    return
        finally:
            self._served()

    async def submit(self, request: AnyUnaryRequest) -> AnyUnaryResponse:
        """Return a host's response; whatever failed has changed nothing, so it may be retried."""
        response: AnyUnaryResponse = await self._ask("submit", request, wish=self._wish(request))
        return response

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
        found: str = await self._ask("default_model", wish=Wish(model=""))
        return found

    async def refresh(self) -> Sequence[ModelSpec]:
        """Have all hosts look for models, and return all."""
        await self._hosts.ask_all("refresh")
        await self._look()
        return self._knowledge.models

    async def load(
        self, model: str, *, keep_alive_s: KeepAliveSeconds | None = None, fit: bool = True
    ) -> None:
        """Bring a model into memory on the host that requests for it go to."""
        wish = self._wish_for(model)
        await self._ask("load", model, wish=wish, keep_alive_s=keep_alive_s, fit=fit)

    async def unload(self, model: str) -> None:
        """Take a model out of memory on all hosts."""
        await self._everywhere("unload", model)

    async def pin(self, model: str, *, pinned: bool) -> None:
        """Keep a model in memory on every host that has it there, or no longer."""
        await self._everywhere("pin", model, pinned=pinned)

    async def plan(self, model: str) -> ModelPlan:
        """Return what the host would do that a request for the model would go to now."""
        found: ModelPlan = await self._ask("plan", model, wish=self._wish_for(model))
        return found

    async def status(self) -> ServiceStatus:
        """Return the status of all hosts, asked for now."""
        await self._look()
        return self._knowledge.status(time.monotonic() - self._started_s, self._state)

    async def ready(self, model: str | None = None) -> Readiness:
        """Return whether any host is."""
        if self._state is not ServiceState.RUNNING:
            return Readiness(ready=False, reason=str(self._state))
        outcomes = await self._hosts.ask_all("ready", model)
        found: list[Readiness] = _values(outcomes, [ModelNotFoundError])
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
        _values(outcomes, [ModelNotFoundError])

    async def _ask(self, verb: str, *args: Any, wish: Wish, **kwargs: Any) -> Any:
        attempts = self._attempts(wish.model)
        self._serves += 1
        try:
            while True:
                wish, host = replace(wish, exclude=attempts.tried), ""
                try:
                    outcome = await self._hosts.ask(verb, *args, wish=wish, **kwargs)
                    host = outcome.host
                    if outcome.error is not None:
                        raise outcome.error.error()
                except ModeldError as exc:
                    attempts.note(exc, host, begun=False)
                else:
                    return outcome.value
        finally:
            self._served()

    def _attempts(self, model: str) -> Attempts:
        self._check_running()
        self._quarantine.check(model, time.monotonic())
        if not self._knowledge.hosts:
            raise NoHostError("no host is up", retry_after_s=RETRY_S)
        return Attempts(
            len(self._knowledge.hosts),
            lambda host: self._quarantine.note_loss(model, host, time.monotonic()),
        )

    def _wish(self, request: GenerateRequest | AnyUnaryRequest) -> Wish:
        wish = self._wish_for(request.model)
        key = key_of(request)
        # The same beginning means nothing to another model.
        key = key and f"{wish.model}/{key}"
        return Wish(
            model=wish.model,
            need_bytes=wish.need_bytes,
            among=wish.among,
            key=key,
            prefers=self._chats.host_of(key),
        )

    def _wish_for(self, name: str) -> Wish:
        spec = self._knowledge.model(name) if name else self._only_model()
        if spec is None:
            return Wish(model=name)  # a host says what is wrong with it
        return Wish(model=spec.id, need_bytes=spec.need_bytes or 0, among=spec.hosts)

    def _only_model(self) -> ModelSpec | None:
        usable = [spec for spec in self._knowledge.models if spec.problem is None]
        return usable[0] if len(usable) == 1 else None

    def _check_running(self) -> None:
        if self._state is not ServiceState.RUNNING:
            raise DrainingError("the server takes no requests now", retry_after_s=1)

    def _served(self) -> None:
        self._serves -= 1
        if not self._serves:
            self._idle.set()

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


def _values(outcomes: Sequence[Outcome], forgiven: Sequence[type[ModeldError]]) -> list[Any]:
    """Return what the hosts that could have said.

    Raises:
        ModeldError: as one has said it, unless it is ``forgiven`` and another host could.
    """
    errors = [outcome.error.error() for outcome in outcomes if outcome.error is not None]
    values = [outcome.value for outcome in outcomes if outcome.error is None]
    for error in errors:
        if not values or not isinstance(error, tuple(forgiven)):
            raise error
    return values
