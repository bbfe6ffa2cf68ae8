# SPDX-License-Identifier: GPL-3.0-only
"""Calls to hosts of which some hang, over what stands for a handle of Ray's; without a cluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import pytest
from modeld_ray.crossing import Outcome
from modeld_ray.errors import HostLostError
from modeld_ray.hosts import Hosts
from modeld_ray.routing.placement import HostView, Placement, Wish
from ray.serve.exceptions import DeploymentUnavailableError

LIMIT_S = 0.05


class Response:
    """A response of one host, as one value or as a stream of values."""

    def __init__(self, made: Callable[[], Awaitable[Any]]) -> None:
        self._made = made
        self._stream: AsyncIterator[Any] | None = None
        self.is_cancelled = False

    def __await__(self) -> Any:
        return self._made().__await__()

    def __aiter__(self) -> Response:
        return self

    async def __anext__(self) -> Any:
        if self._stream is None:
            self._stream = self._once()
        return await anext(self._stream)

    async def _once(self) -> AsyncIterator[Any]:
        yield await self._made()

    def cancel(self) -> None:
        self.is_cancelled = True


class Broadcast:
    """The responses of all; where one hangs, nobody's is had."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    async def results_async(self, *, timeout_s: float | None, return_exceptions: bool) -> list[Any]:
        assert return_exceptions
        calls = [self._handle.said_by(name) for name in self._handle.names]
        return await asyncio.wait_for(asyncio.gather(*calls), timeout_s)


class Handle:
    """Hosts by name, of which some hang or are gone, chosen as the router chooses them."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)
        self.hung: set[str] = set()
        self.broadcasts = 0
        self.responses: list[Response] = []

    def options(self, **_options: Any) -> Handle:
        return self

    def broadcast(self, _method: str, *_args: Any, **_kwargs: Any) -> Broadcast:
        self.broadcasts += 1
        if not self.names:
            raise DeploymentUnavailableError(cast("Any", "host"))
        return Broadcast(self)

    def remote(self, *_args: Any, wish: Wish, **_kwargs: Any) -> Response:
        async def made() -> Any:
            placement = Placement()
            for name in self.names:
                placement.update(HostView(id=name, models={}))
            ranked = placement.rank(wish)
            return await self.said_by(ranked[0] if ranked else min(self.names))

        self.responses.append(Response(made))
        return self.responses[-1]

    async def said_by(self, name: str) -> Outcome:
        if name in self.hung:
            await asyncio.Event().wait()
        return Outcome(host=name, value=name)


def hosts_behind(handle: Handle) -> Hosts:
    return Hosts(cast("Any", handle), silence_timeout_s=LIMIT_S, report_timeout_s=LIMIT_S)


async def heard(hosts: Hosts) -> set[str]:
    return {outcome.host for outcome in await hosts.plugins()}


def test_one_that_hangs_keeps_nothing_from_us_that_others_say():
    async def main() -> None:
        handle = Handle("a", "b", "c")
        hosts = hosts_behind(handle)
        assert await heard(hosts) == {"a", "b", "c"}
        handle.hung = {"b"}
        assert await heard(hosts) == {"a", "c"}
        assert await heard(hosts) == {"a", "c"}
        assert handle.broadcasts == 2  # it is not waited for twice in each look
        handle.hung = set()
        assert await heard(hosts) == {"a", "b", "c"}
        assert await heard(hosts) == {"a", "b", "c"}
        assert handle.broadcasts == 3

    asyncio.run(main())


def test_a_host_that_starts_while_another_hangs_is_found():
    async def main() -> None:
        handle = Handle("a", "b")
        hosts = hosts_behind(handle)
        await heard(hosts)
        handle.hung = {"b"}
        await heard(hosts)
        handle.names.append("c")
        assert await heard(hosts) == {"a", "c"}

    asyncio.run(main())


def test_one_that_hangs_and_was_replaced_is_forgotten(monkeypatch: pytest.MonkeyPatch):
    async def main() -> None:
        handle = Handle("a", "b")
        hosts = hosts_behind(handle)
        await heard(hosts)
        handle.hung = {"b"}
        await heard(hosts)
        handle.names, handle.hung = ["a", "c"], set()
        monkeypatch.setattr("modeld_ray.hosts._REPLACED_S", 0.0)
        await heard(hosts)
        assert await heard(hosts) == {"a", "c"}
        assert handle.broadcasts == 3

    asyncio.run(main())


def test_a_host_that_says_nothing_is_lost_and_its_call_given_up():
    async def main() -> None:
        handle = Handle("a")
        handle.hung = {"a"}
        with pytest.raises(HostLostError, match="silent"):
            await hosts_behind(handle).ask("load", "x", wish=Wish(model="x"))
        assert [each.is_cancelled for each in handle.responses] == [True]

    asyncio.run(main())


def test_where_no_host_is_there_is_nothing_to_hear():
    async def main() -> None:
        assert await heard(hosts_behind(Handle())) == set()

    asyncio.run(main())
