# SPDX-License-Identifier: GPL-3.0-only
"""What plugins have open: when it is entered and left, and what becomes of faults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from modeld import ModelService, Settings, create_app, hookimpl
from modeld.cli.main import main as command
from modeld.errors import ConfigurationError, StartError
from modeld.plugins.host import PluginHost
from modeld.serving.service import LocalService
from tests.support.hosting.leaks import until
from tests.support.plugins.some_plugins import Elsewhere, status_of

Happening = Callable[[], Awaitable[object]]


async def nothing() -> None:
    """Do nothing."""


async def for_ever() -> None:
    await asyncio.Event().wait()


def raises(error: BaseException) -> Happening:
    async def fail() -> None:
        raise error

    return fail


class Opens:
    """A plugin that has something open; ``journal`` has what became of it."""

    def __init__(self, begin: Happening = nothing, end: Happening = nothing) -> None:
        self.journal: list[str] = []
        self.services: list[ModelService] = []
        self._begin = begin
        self._end = end

    @hookimpl
    def modeld_lifespan(self, service: ModelService) -> AbstractAsyncContextManager[None]:
        self.services.append(service)
        return self._opened()

    @hookimpl
    def modeld_register_routes(self) -> list[Route]:
        async def state(_request: Request) -> PlainTextResponse:
            return PlainTextResponse(",".join(self.journal))

        return [Route("/journal", state)]

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[None]:
        await self._begin()
        self.journal.append("begun")
        try:
            yield
        finally:
            await self._end()
            self.journal.append("ended")


class Groups:
    """A plugin whose lifespan is a task group, as it must be entered and left by one task."""

    def __init__(self, work: Happening, begin: Happening = nothing) -> None:
        self._work = work
        self._begin = begin

    @hookimpl
    def modeld_lifespan(self) -> AbstractAsyncContextManager[None]:
        return self._grouped()

    @asynccontextmanager
    async def _grouped(self) -> AsyncIterator[None]:
        await self._begin()
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            task = group.create_task(self._worked())
            yield
            task.cancel()

    async def _worked(self) -> None:
        await self._work()


def host(plugin_timeout_s: float = 10.0, **plugins: object) -> PluginHost:
    settings = Settings(warm_workers=0, plugin_timeout_s=plugin_timeout_s)
    return PluginHost.discover(settings, plugins)


def app_of(plugins: PluginHost) -> Any:
    return create_app(plugins.settings, plugins)


async def get(app: Any, path: str) -> str:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        return (await client.get(path)).text


def reason_of(plugins: PluginHost, name: str) -> str | None:
    status = status_of(plugins, name)
    assert status.state == "active"
    return status.reason


def test_it_is_entered_before_the_first_request_and_left_at_the_end() -> None:
    plugin = Opens()
    app = app_of(host(opens=plugin))

    async def main() -> None:
        async with app.lifespan():
            assert await get(app, "/journal") == "begun"
        assert plugin.journal == ["begun", "ended"]

    asyncio.run(main())
    assert plugin.services == [app.service]


def test_a_mounted_application_enters_it_with_its_first_request() -> None:
    plugin = Opens()
    app = app_of(host(opens=plugin))

    async def main() -> None:
        assert await get(app, "/healthz")
        assert plugin.journal == []
        assert await get(app, "/journal") == "begun"
        assert await get(app, "/journal") == "begun"
        await app.aclose()
        await app.aclose()
        assert plugin.journal == ["begun", "ended"]

    asyncio.run(main())


def test_a_service_without_an_application_enters_it_too() -> None:
    plugin = Opens()
    plugins = host(opens=plugin)

    async def main() -> None:
        service = LocalService(plugins.settings, plugins)
        await service.start()
        assert plugin.journal == ["begun"]
        await service.aclose()
        assert plugin.journal == ["begun", "ended"]
        assert plugin.services == [service]

    asyncio.run(main())


def test_it_is_left_after_the_last_engine_is_closed() -> None:
    plugin = Opens()
    plugins = host(opens=plugin)

    async def main() -> None:
        service = LocalService(plugins.settings, plugins)
        await service.start()
        close_pool = service._pool.aclose

        async def closed() -> None:
            await close_pool()
            plugin.journal.append("engines are closed")

        service._pool.aclose = closed  # type: ignore[method-assign]
        await service.aclose()

    asyncio.run(main())
    assert plugin.journal == ["begun", "engines are closed", "ended"]


class Away(Elsewhere):
    """A service elsewhere, which only starts and ends."""

    async def start(self) -> None:
        """Do nothing."""

    async def aclose(self) -> None:
        """Do nothing."""


class Replaces(Opens):
    @hookimpl
    def modeld_build_service(self) -> ModelService:
        return Away()


def test_it_is_entered_where_a_plugin_brings_the_service() -> None:
    plugin = Replaces()
    app = app_of(host(replaces=plugin))

    async def main() -> None:
        async with app.lifespan():
            assert plugin.journal == ["begun"]

    asyncio.run(main())
    assert plugin.journal == ["begun", "ended"]


@pytest.mark.parametrize(
    ("error", "said"),
    [(OSError("no route"), "OSError: no route"), (SystemExit(3), "SystemExit: 3")],
)
def test_one_that_cannot_be_entered_is_listed_and_the_others_go_on(
    error: BaseException, said: str
) -> None:
    good = Opens()
    plugins = host(good=good, bad=Groups(nothing, begin=raises(error)))
    app = app_of(plugins)

    async def main() -> None:
        async with app.lifespan():
            assert await get(app, "/models")
            assert good.journal == ["begun"]
            assert reason_of(plugins, "bad") == f"its lifespan did not begin: {said}"
            assert reason_of(plugins, "good") is None

    asyncio.run(main())
    assert good.journal == ["begun", "ended"]


def test_one_that_hangs_at_its_beginning_is_given_up() -> None:
    plugins = host(0.05, hangs=Opens(for_ever))

    async def main() -> None:
        async with app_of(plugins).lifespan():
            said = "its lifespan took longer than 0.05 s to begin"
            assert reason_of(plugins, "hangs") == said

    asyncio.run(main())


@pytest.mark.parametrize("kind", [ConfigurationError, StartError])
def test_a_plugin_may_say_that_nothing_must_go_on(kind: type[Exception]) -> None:
    good = Opens()
    app = app_of(host(good=good, strict=Groups(nothing, begin=raises(kind("no licence")))))

    async def main() -> None:
        with pytest.raises(kind, match="no licence"):
            await app.start()
        assert good.journal == ["begun", "ended"]
        await app.aclose()

    asyncio.run(main())


def test_a_start_that_has_failed_begins_anew() -> None:
    tries: list[int] = []

    async def once() -> None:
        tries.append(1)
        if len(tries) == 1:
            raise StartError("not yet")

    plugin = Opens(once)
    app = app_of(host(opens=plugin))

    async def main() -> None:
        with pytest.raises(StartError):
            await app.start()
        await app.start()
        await app.aclose()

    asyncio.run(main())
    assert plugin.journal == ["begun", "ended"]


def test_one_that_hangs_at_its_end_is_cancelled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("modeld.plugins.lifespans.LEAVE_LIMIT_S", 0.05)
    app = app_of(host(hangs=Opens(end=for_ever)))

    async def main() -> None:
        async with app.lifespan():
            pass

    asyncio.run(main())
    assert "plugin 'hangs': its lifespan took longer than 0.05 s to end" in caplog.text


def test_one_that_fails_at_its_end_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    app = app_of(host(fails=Opens(end=raises(OSError("gone")))))

    async def main() -> None:
        async with app.lifespan():
            pass

    asyncio.run(main())
    assert "plugin 'fails': its lifespan did not end well: OSError: gone" in caplog.text


def test_task_groups_and_timeouts_may_be_around_it() -> None:
    plugins = host(groups=Groups(for_ever))

    async def main() -> None:
        async with app_of(plugins).lifespan():
            pass
        assert reason_of(plugins, "groups") is None

    asyncio.run(main())


def test_one_whose_task_fails_is_listed() -> None:
    async def main() -> None:
        fails = asyncio.Event()

        async def fail() -> None:
            await fails.wait()
            raise OSError("lost")

        plugins = host(groups=Groups(fail))
        async with app_of(plugins).lifespan():
            fails.set()
            await until(lambda: reason_of(plugins, "groups") is not None)
            reason = str(reason_of(plugins, "groups"))
            assert reason.startswith("its lifespan is over before the server is: ExceptionGroup")

    asyncio.run(main())


class Odd:
    def __init__(self, returned: object) -> None:
        self._returned = returned

    @hookimpl
    def modeld_lifespan(self) -> Any:
        if isinstance(self._returned, Exception):
            raise self._returned
        return self._returned


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (7, "its lifespan is left out: 7 is no async context manager"),
        (OSError("x"), "its lifespan is left out: modeld_lifespan raised OSError: x"),
    ],
)
def test_what_is_no_lifespan_is_left_out(returned: object, said: str) -> None:
    plugins = host(odd=Odd(returned))

    async def main() -> None:
        async with app_of(plugins).lifespan():
            assert reason_of(plugins, "odd") == said

    asyncio.run(main())


@pytest.mark.usefixtures("own_log")
def test_a_command_that_serves_nothing_starts_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[object] = []

    async def start(_self: object, *_: object) -> None:
        started.append(_self)

    monkeypatch.setattr("modeld.plugins.lifespans.PluginLifespans.start", start)
    for name in ("models", "plugins", "version"):
        command([name])
    assert not started
    capsys.readouterr()
