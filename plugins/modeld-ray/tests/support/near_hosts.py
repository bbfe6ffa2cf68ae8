# SPDX-License-Identifier: GPL-3.0-only
"""Hosts in this process, behind what stands for Ray: all that crosses is pickled, and they die."""

from __future__ import annotations

import pickle
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from modeld_ray.crossing import Crossed, Cursor, HostReport, Message, Outcome, read
from modeld_ray.errors import HostLostError, NoHostError
from modeld_ray.host import Host
from modeld_ray.routing.placement import HostView, Placement, Wish

from modeld import ModelService, Settings, hookimpl
from modeld.requests import GenerateRequest


def crossed(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))


class Around:
    """Puts a service in the place of a host's own."""

    def __init__(self, service: ModelService) -> None:
        self._service = service

    @hookimpl
    def modeld_build_service(self) -> ModelService:
        return self._service


def near_host(name: str, service: ModelService, read: Callable[[], Settings] | None = None) -> Host:
    return Host(name, f"node-of-{name}", Settings(), {"around": Around(service)}, read)


class NearHosts:
    """What :class:`modeld_ray.hosts.Hosts` is, without Ray."""

    def __init__(self, *hosts: Host) -> None:
        self.hosts = {host.name: host for host in hosts}
        self.placement = Placement()
        self.dies_after: dict[str, int] = {}
        self.sent: list[str] = []
        self.on_death: Callable[[], None] | None = None
        self.silent: set[str] = set()
        self.is_closed = False

    def kill(self, name: str) -> None:
        del self.hosts[name]
        self.placement.remove(name)
        if self.on_death is not None:
            self.dies_after.clear()
            self.on_death()

    async def generate(
        self, request: GenerateRequest, wish: Wish
    ) -> AsyncGenerator[list[Message], None]:
        host = await self._chosen(wish)
        left = self.dies_after.get(host.name, 1 << 30)
        async for payload in host.generate(crossed(request)):
            if left == 0:
                self.kill(host.name)
                raise HostLostError("the host is gone")
            left -= 1
            messages = read(payload)
            if messages and isinstance(messages[-1], Crossed):
                raise messages[-1].error()
            yield messages

    async def ask(self, verb: str, *args: Any, wish: Wish, **kwargs: Any) -> Outcome:
        host = await self._chosen(wish)
        if self.dies_after.get(host.name) == 0:
            self.kill(host.name)
            raise HostLostError("the host is gone")
        async with aclosing(host.respond(verb, *crossed(args), **crossed(kwargs))) as outcomes:
            found = [crossed(each) async for each in outcomes]
        outcome: Outcome = found[-1]
        return outcome

    async def ask_all(self, verb: str, *args: Any, **kwargs: Any) -> Sequence[Outcome]:
        return [crossed(await host.ask(verb, *args, **kwargs)) for host in self.hosts.values()]

    async def ready(self, model: str | None) -> Sequence[Outcome]:
        return await self.ask_all("ready", model)

    async def reports(self, cursors: Mapping[str, Cursor]) -> Sequence[HostReport]:
        speaking = [host for name, host in self.hosts.items() if name not in self.silent]
        return [crossed(await host.report(crossed(cursors))) for host in speaking]

    async def plugins(self) -> Sequence[Outcome]:
        return [crossed(await host.plugins()) for host in self.hosts.values()]

    def close(self) -> None:
        self.is_closed = True

    async def _chosen(self, wish: Wish) -> Host:
        for name, host in self.hosts.items():
            self.placement.update(HostView.of(name, crossed(await host.stats())))
        ranked = self.placement.rank(wish)
        if not ranked:
            raise NoHostError("no host is up", retry_after_s=2.0)
        self.placement.note_sent(wish, ranked[0])
        self.sent.append(ranked[0])
        return self.hosts[ranked[0]]
