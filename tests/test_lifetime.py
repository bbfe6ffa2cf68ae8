# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio

import pytest

from modeld.errors import ConfigurationError, DrainingError, StartError
from modeld.lifetime import Lifetime
from modeld.plugins.host import PluginHost
from modeld.settings import Settings
from tests.support.hosting.leaks import until
from tests.support.http.fake_service import FakeService


def test_all_callers_share_one_start() -> None:
    async def go() -> None:
        service = FakeService()
        service.start_gate = asyncio.Event()
        lifetime = Lifetime(service, PluginHost(Settings()))
        callers = [asyncio.create_task(lifetime.start()) for _ in range(5)]
        await asyncio.sleep(0)
        service.start_gate.set()
        await asyncio.gather(*callers)
        await lifetime.start()
        assert service.calls == ["start"]

    asyncio.run(go())


def test_a_caller_that_is_cancelled_does_not_stop_the_start_for_the_others() -> None:
    async def go() -> None:
        service = FakeService()
        service.start_gate = asyncio.Event()
        lifetime = Lifetime(service, PluginHost(Settings()))
        first = asyncio.create_task(lifetime.start())
        second = asyncio.create_task(lifetime.start())
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        service.start_gate.set()
        await second
        assert service.calls == ["start"]

    asyncio.run(go())


def test_a_failed_start_is_told_to_all_and_tried_again_by_the_next() -> None:
    async def go() -> None:
        service = FakeService()
        service.start_error = ConfigurationError("bad")
        lifetime = Lifetime(service, PluginHost(Settings()))
        outcomes = await asyncio.gather(lifetime.start(), lifetime.start(), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [ConfigurationError] * 2
        service.start_error = None
        await lifetime.start()
        assert service.calls == ["start", "start"]

    asyncio.run(go())


def test_closing_ends_a_start_in_progress() -> None:
    async def go() -> None:
        service = FakeService()
        service.start_gate = asyncio.Event()
        lifetime = Lifetime(service, PluginHost(Settings()))
        caller = asyncio.create_task(lifetime.start())
        await until(lambda: bool(service.calls))  # the plugins are asked first, on a thread
        await lifetime.aclose()
        with pytest.raises(DrainingError, match="closed while it started"):
            await caller
        assert service.calls == ["start", "aclose"]

    asyncio.run(go())


def test_there_is_no_start_after_the_close() -> None:
    async def go() -> None:
        lifetime = Lifetime(FakeService(), PluginHost(Settings()))
        await lifetime.start()
        await lifetime.aclose()
        await lifetime.aclose()
        with pytest.raises(DrainingError, match="make another one"):
            await lifetime.start()

    asyncio.run(go())


def test_what_was_never_started_has_nothing_to_drain_or_to_close() -> None:
    async def go() -> None:
        service = FakeService()
        lifetime = Lifetime(service, PluginHost(Settings()))
        await lifetime.drain(1.0)
        await lifetime.aclose()
        assert service.calls == []

    asyncio.run(go())


def test_another_event_loop_is_told_apart_instead_of_hanging() -> None:
    lifetime = Lifetime(FakeService(), PluginHost(Settings()))
    asyncio.run(lifetime.start())
    with pytest.raises(StartError, match="another event loop"):
        asyncio.run(lifetime.start())
