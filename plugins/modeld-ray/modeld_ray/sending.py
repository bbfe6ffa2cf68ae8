# SPDX-License-Identifier: GPL-3.0-only
"""Sends requests to hosts, and to another one where the first is lost or full."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from modeld.errors import ModeldError
from modeld.requests import AnyUnaryRequest, GenerateRequest
from modeld.responses import Chunk, Placed
from modeld.values import ModelSpec
from modeld_ray.crossing import Taken
from modeld_ray.errors import RETRY_S, NoHostError
from modeld_ray.knowledge import Knowledge
from modeld_ray.routing.attempts import Attempts
from modeld_ray.routing.chats import Chats, key_of
from modeld_ray.routing.placement import Wish
from modeld_ray.routing.quarantine import Quarantine
from modeld_ray.settings import RaySettings

if TYPE_CHECKING:
    from modeld_ray.hosts import Hosts


class Sending:
    """The requests of one ingress. What is known of the hosts is kept up to date by its owner."""

    def __init__(self, hosts: Hosts, settings: RaySettings, knowledge: Knowledge) -> None:
        self._hosts = hosts
        self._knowledge = knowledge
        self._chats = Chats()
        self._quarantine = Quarantine(settings.quarantine_losses, settings.quarantine_s)

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Placed | Chunk, None]:
        """Yield what a host generates; another one is tried only before the first chunk.

        Raises:
            ModeldError: the request has failed.
        """
        wish = self._wish_of(request)
        attempts = self._attempts(wish.model)
        while True:
            host, begun = "", False
            placed: Placed | None = None
            try:
                async with aclosing(
                    self._hosts.generate(request, self._now(wish, attempts))
                ) as batches:
                    async for batch in batches:
                        for message in batch:
                            if isinstance(message, Taken):
                                host = message.host
                                self._chats.note(wish.key, host)
                            elif isinstance(message, Placed):
                                placed = message  # held back: no token has come, so it may move on
                            else:
                                begun = True
                                if placed is not None:
                                    yield placed
                                    placed = None
                                yield message  # type: ignore[misc]  # errors are raised by then
                self._quarantine.note_served(wish.model)
            except ModeldError as exc:
                attempts.note(exc, host, begun=begun)
            else:
                return

    async def submit(self, request: AnyUnaryRequest) -> Any:
        """Return a host's response; whatever failed has changed nothing, so it may be retried."""
        return await self._asked("submit_placed", request, wish=self._wish_of(request))

    async def ask(self, verb: str, model: str, **kwargs: Any) -> Any:
        """Return what the host says to a verb that requests for the model would go to.

        Raises:
            ModeldError: it has refused, or there is none.
        """
        return await self._asked(verb, model, wish=self._wish_for(model), **kwargs)

    async def ask_any(self, verb: str) -> Any:
        """Return what any host says to a verb."""
        return await self._asked(verb, wish=Wish(model=""))

    async def _asked(self, verb: str, *args: Any, wish: Wish, **kwargs: Any) -> Any:
        attempts = self._attempts(wish.model)
        while True:
            host = ""
            try:
                outcome = await self._hosts.ask(
                    verb, *args, wish=self._now(wish, attempts), **kwargs
                )
                host = outcome.host
                if outcome.error is not None:
                    raise outcome.error.error()
            except ModeldError as exc:
                attempts.note(exc, host, begun=False)
            else:
                return outcome.value

    def _now(self, wish: Wish, attempts: Attempts) -> Wish:
        """Return a wish that passes over the hosts that were tried, and those that are late."""
        return replace(wish, exclude=(*attempts.tried, *self._knowledge.late))

    def _attempts(self, model: str) -> Attempts:
        self._quarantine.check(model, time.monotonic())
        if not self._knowledge.hosts:
            raise NoHostError("no host is up", retry_after_s=RETRY_S)
        return Attempts(
            len(self._knowledge.hosts),
            lambda host: self._quarantine.note_loss(model, host, time.monotonic()),
        )

    def _wish_of(self, request: GenerateRequest | AnyUnaryRequest) -> Wish:
        wish = self._wish_for(request.model)
        key = key_of(request)
        # The same beginning means nothing to another model.
        key = key and f"{wish.model}/{key}"
        return replace(wish, key=key, prefers=self._chats.host_of(key))

    def _wish_for(self, name: str) -> Wish:
        spec = self._knowledge.model(name) if name else self._only_model()
        if spec is None:
            if self._knowledge.had(name):
                raise NoHostError(
                    f"no host that has the model {name!r} is up", retry_after_s=RETRY_S
                )
            return Wish(model=name)  # a host says what is wrong with it
        return Wish(model=spec.id, need_bytes=spec.need_bytes or 0, among=spec.hosts)

    def _only_model(self) -> ModelSpec | None:
        usable = [spec for spec in self._knowledge.models if spec.problem is None]
        return usable[0] if len(usable) == 1 else None
