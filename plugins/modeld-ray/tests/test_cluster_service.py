# SPDX-License-Identifier: GPL-3.0-only
"""The service of a cluster over hosts in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from functools import partial
from typing import Any, cast

import pytest
from modeld_ray.cluster_service import ClusterService
from modeld_ray.crossing import Pin
from modeld_ray.errors import HostLostError, ModelQuarantinedError, NoHostError
from modeld_ray.settings import RaySettings
from msgspec.structs import replace
from near_hosts import NearHosts, near_host

from modeld import Done, GenerateRequest, Message, ModelSpec, Settings
from modeld.errors import (
    ConfigurationError,
    DrainingError,
    LoadFailedError,
    ModeldError,
    ModelNotFoundError,
    NotSupportedError,
    QueueFullError,
)
from modeld.events import Event, LoopLag, ModelLoaded
from modeld.requests import TokenizeRequest
from modeld.responses import Chunk, Placed, TextResponse, Token
from modeld.status import PlanOutcome
from modeld.testing.doubles.fake_service import FakeService
from modeld.testing.doubles.scripted import DONE

SPEC = ModelSpec(id="x.gguf", name="x", path="/models/x.gguf", need_bytes=1 << 20)
REQUEST = GenerateRequest(model="x.gguf", prompt="hello")


def cluster(*services: FakeService, **settings: Any) -> tuple[ClusterService, NearHosts]:
    near = NearHosts(*(near_host(name, each) for name, each in zip("abcd", services, strict=False)))
    found = RaySettings(refresh_s=30.0, **settings)
    return ClusterService(cast("Any", near), found, lambda _event: None), near


@asynccontextmanager
async def running(
    *services: FakeService, **settings: Any
) -> AsyncIterator[tuple[ClusterService, NearHosts]]:
    service, near = cluster(*services, **settings)
    await service.start()
    try:
        yield service, near
    finally:
        await service.aclose()


def fake(*script: Any, models: Sequence[ModelSpec] = (SPEC,)) -> FakeService:
    return FakeService(*script, models=models)


async def said(service: ClusterService, request: GenerateRequest = REQUEST) -> list[Chunk]:
    async with aclosing(service.generate(request)) as chunks:
        return [chunk async for chunk in chunks]


async def settled(service: ClusterService) -> None:
    """Let what a look has begun come to its end."""
    while service._following:
        await asyncio.wait(service._following)


def run(main: Any) -> None:
    asyncio.run(main())


def test_a_generation_crosses_whole():
    async def main() -> None:
        async with running(fake(), fake()) as (service, _):
            assert await said(service) == [Token(text="a"), Token(text="b"), DONE]

    run(main)


def test_a_request_goes_on_elsewhere_when_its_host_is_lost_before_the_first_token():
    async def main() -> None:
        hosts = fake(), fake()
        async with running(*hosts) as (service, near):
            await said(service)
            near.dies_after[near.sent[0]] = 1  # after it has said that it is there
            assert isinstance((await said(service))[-1], Done)
            assert near.sent[-1] != near.sent[0]
            assert len(near.hosts) == 1

    run(main)


def test_a_request_that_has_its_slot_and_no_token_goes_on_elsewhere_too(monkeypatch):
    monkeypatch.setattr("modeld_ray.host.SIGN_OF_LIFE_S", 0.001)

    async def main() -> None:
        gate = asyncio.Event()
        hosts = [fake(gate, Token(text="a"), DONE) for _ in range(2)]
        for each in hosts:
            each.placed = Placed(placement=PlanOutcome.RESIDENT, queue_wait_s=0.0)
        async with running(*hosts) as (service, near):
            near.dies_after = dict.fromkeys("ab", 2)  # it has said that the request has its slot
            near.on_death = gate.set
            async with aclosing(service.generate_placed(REQUEST)) as chunks:
                found = [chunk async for chunk in chunks]
            assert found[0] == replace(hosts[0].placed, host=near.sent[-1])
            assert found[1:] == [Token(text="a"), DONE]
            assert len(near.hosts) == 1

    run(main)


def test_a_second_host_that_is_lost_by_one_request_is_the_last():
    async def main() -> None:
        async with running(fake(), fake(), fake()) as (service, near):
            near.dies_after = dict.fromkeys("abc", 1)
            with pytest.raises(HostLostError):
                await said(service)
            assert len(near.hosts) == 1

    run(main)


def test_nothing_is_tried_again_once_a_token_has_come():
    async def main() -> None:
        async with running(fake(), fake()) as (service, near):
            near.dies_after = dict.fromkeys("ab", 2)
            chunks: list[Chunk] = []

            async def read() -> None:
                async for chunk in service.generate(GenerateRequest(model="x", prompt="p")):
                    chunks.append(chunk)  # noqa: PERF401  (what came before the error counts)

            script = [Token(text="a"), asyncio.Event()]
            for host in near.hosts.values():
                host._app.service.script = script
            with pytest.raises(HostLostError):
                await read()
            assert chunks == [Token(text="a")]
            assert len(near.sent) == 1

    run(main)


def test_a_full_host_is_passed_over():
    async def main() -> None:
        full, other = fake(QueueFullError("full", retry_after_s=3)), fake()
        async with running(full, other) as (service, _):
            for _ in range(4):
                assert isinstance((await said(service))[-1], Done)

    run(main)


def test_where_all_are_full_the_first_word_counts():
    async def main() -> None:
        words = [QueueFullError(f"full {name}", retry_after_s=3) for name in "ab"]
        async with running(*map(fake, words)) as (service, near):
            with pytest.raises(QueueFullError) as caught:
                await said(service)
            assert caught.value.message == f"full {near.sent[0]}"
            assert caught.value.retry_after_s == 3
            assert len(set(near.sent)) == 2

    run(main)


def test_what_another_host_would_say_too_is_not_asked_twice():
    async def main() -> None:
        broken = LoadFailedError("the file is broken")
        async with running(fake(broken), fake(broken)) as (service, near):
            with pytest.raises(LoadFailedError, match="the file is broken"):
                await said(service)
            assert len(near.sent) == 1

    run(main)


def test_a_model_that_takes_hosts_with_it_is_refused_for_a_while():
    async def main() -> None:
        async with running(fake(), fake(), fake(), quarantine_losses=2) as (service, near):
            near.dies_after = dict.fromkeys("abc", 1)
            with pytest.raises(HostLostError):
                await said(service)
            with pytest.raises(ModelQuarantinedError) as caught:
                await said(service)
            assert caught.value.retry_after_s
            assert len(near.hosts) == 1

    run(main)


def test_without_a_host_it_says_so_and_when_to_come_again():
    async def main() -> None:
        async with running(fake()) as (service, near):
            near.kill("a")
            status = await service.status()
            assert status.error == "no host is up"
            assert [host.error for host in status.hosts] == ["it does not answer, or is gone"]
            with pytest.raises(NoHostError) as caught:
                await said(service)
            assert caught.value.retry_after_s
            with pytest.raises(NoHostError):
                await service.unload("x.gguf")
            assert not (await service.ready()).ready
            assert await service.plugins() == ()

    run(main)


def test_a_chat_goes_back_to_its_host_also_when_another_has_the_model():
    async def main() -> None:
        async with running(fake(), fake(), fake()) as (service, near):
            turns = [Message(role="system", content="be brief"), Message(role="user", content="hi")]
            hosts = set()
            for _ in range(5):
                await said(service, GenerateRequest(model="x", messages=tuple(turns)))
                hosts.add(near.sent[-1])
                turns += [
                    Message(role="assistant", content="ab"),
                    Message(role="user", content="?"),
                ]
            assert len(hosts) == 1

    run(main)


def test_models_are_listed_once_with_their_hosts():
    async def main() -> None:
        other = ModelSpec(id="y.gguf", name="y", path="/models/y.gguf")
        async with running(fake(), fake(models=(SPEC, other))) as (service, _):
            found = {spec.id: spec.hosts for spec in await service.models()}
            assert found == {"x.gguf": ("a", "b"), "y.gguf": ("b",)}
            assert (await service.known("x")).id == "x.gguf"

    run(main)


def test_a_request_goes_only_to_hosts_that_have_its_model():
    async def main() -> None:
        other = ModelSpec(id="y.gguf", name="y", path="/models/y.gguf")
        async with running(fake(), fake(models=(SPEC, other))) as (service, near):
            for number in range(6):
                await said(service, GenerateRequest(model="y.gguf", prompt=str(number)))
            assert set(near.sent) == {"b"}

    run(main)


def test_a_unary_request_gets_its_response_or_its_error():
    async def main() -> None:
        one = fake()
        one.unary_response = TextResponse(text="words")
        async with running(one) as (service, _):
            request = TokenizeRequest(model="x", text="words")
            assert await service.submit(request) == TextResponse(text="words")
            one.unary_response = QueueFullError("full")
            with pytest.raises(QueueFullError, match="full"):
                await service.submit(request)

    run(main)


def test_a_model_is_unloaded_and_pinned_everywhere():
    async def main() -> None:
        one, two = fake(), fake(models=())
        async with running(one, two) as (service, _):
            await service.unload("x.gguf")
            await service.pin("x.gguf", pinned=True)
            assert one.calls[-2:] == ["unload x.gguf", "pin x.gguf"]
            for verb in (service.load, service.unload, service.plan):
                with pytest.raises(ModelNotFoundError):
                    await verb("nobody")

    run(main)


def test_a_plan_names_its_host():
    async def main() -> None:
        async with running(fake(), fake()) as (service, near):
            plan = await service.plan("x.gguf")
            assert plan.host == near.sent[-1]

    run(main)


def test_what_happens_on_hosts_is_told_here_with_the_host():
    async def main() -> None:
        told: list[Event] = []
        near = NearHosts(near_host("a", fake()))
        service = ClusterService(cast("Any", near), RaySettings(refresh_s=30.0), told.append)
        await service.start()
        event = ModelLoaded(model="x", seconds=1.0, held_bytes=1, estimated_bytes=1)
        for each in (event, LoopLag(seconds=0.1)):
            near.hosts["a"]._app.plugins.notify(each)
        await service.status()
        await service.status()
        assert [(type(each), each.host) for each in told] == [(ModelLoaded, "a")]
        await service.aclose()

    run(main)


def test_a_drained_service_takes_nothing_and_its_hosts_serve_on():
    async def main() -> None:
        one = fake()
        async with running(one) as (service, near):
            await service.drain(1.0)
            with pytest.raises(DrainingError):
                await said(service)
            assert near.is_closed
            assert "drain" not in " ".join(one.calls)

    run(main)


def test_a_drain_waits_for_what_runs():
    async def main() -> None:
        gate = asyncio.Event()
        async with running(fake(Token(text="a"), gate, DONE)) as (service, _):
            chunks = service.generate(REQUEST)
            await anext(chunks)
            draining = asyncio.ensure_future(service.drain(30.0))
            await asyncio.sleep(0)
            assert not draining.done()
            gate.set()
            assert [chunk async for chunk in chunks] == [DONE]
            await draining

    run(main)


def test_leaving_early_ends_the_generation_on_the_host():
    async def main() -> None:
        one = fake(Token(text="a"), asyncio.Event())
        async with running(one) as (service, _):
            chunks = service.generate(REQUEST)
            await anext(chunks)
            await chunks.aclose()
            await one.ended.wait()
            assert one.ends == ["left"]

    run(main)


def test_hosts_are_not_asked_for_what_is_no_verb():
    async def main() -> None:
        host = near_host("a", fake())
        outcome = await host.ask("aclose")
        assert isinstance(outcome.error and outcome.error.error(), ModeldError)

    run(main)


def test_who_serves_a_request_and_what_it_waited_for_is_told_first():
    async def main() -> None:
        hosts = fake(), fake()
        for each in hosts:
            each.placed = Placed(placement=PlanOutcome.LOADS, queue_wait_s=1.5, load_s=1.0)
        async with running(*hosts) as (service, near):
            async with aclosing(service.generate_placed(REQUEST)) as chunks:
                first = await anext(chunks)
            assert first == replace(hosts[0].placed, host=near.sent[-1])
            placed, _ = await service.submit_placed(TokenizeRequest(model="x", text="words"))
            assert placed == replace(hosts[0].placed, host=near.sent[-1])

    run(main)


def test_a_host_that_said_nothing_last_is_passed_over():
    async def main() -> None:
        async with running(fake(), fake()) as (service, near):
            await said(service)
            (hung,) = near.sent
            near.silent = {hung}
            status = await service.status()
            assert [each.host for each in status.hosts if each.error] == [hung]
            await said(service)
            assert near.sent[-1] != hung
            near.silent = set()
            assert not any(each.error for each in (await service.status()).hosts)

    run(main)


def test_a_model_whose_only_host_is_lost_is_not_unknown(monkeypatch):
    """Its file is on that host's machine, which may come back."""
    monkeypatch.setattr("modeld_ray.knowledge.LATE_S", 0.0)

    async def main() -> None:
        other = ModelSpec(id="y.gguf", name="y", path="/models/y.gguf")
        async with running(fake(), fake(models=(SPEC, other))) as (service, near):
            near.kill("b")
            await service.status()
            with pytest.raises(NoHostError, match=r"no host that has the model 'y'") as caught:
                await said(service, GenerateRequest(model="y", prompt="p"))
            assert caught.value.retry_after_s
            with pytest.raises(ModelNotFoundError):
                await service.load("z")

    run(main)


def test_a_pin_and_its_end_are_told_to_hosts_that_start_later():
    async def main() -> None:
        one, two = fake(), fake()
        async with running(one) as (service, near):
            await service.pin("x.gguf", pinned=True)
            near.hosts["b"] = near_host("b", two)
            await service.status()
            await settled(service)
            assert "pin x.gguf" in two.calls
            await service.pin("x.gguf", pinned=False)
            three = fake()
            near.hosts["c"] = near_host("c", three)
            await service.status()
            await settled(service)
            assert "unpin x.gguf" in three.calls
            calls = [len(each.calls) for each in (one, two, three)]
            await service.status()
            await settled(service)
            assert [len(each.calls) for each in (one, two, three)] == calls

    run(main)


def test_a_word_on_a_pin_that_comes_late_does_not_undo_a_later_one():
    async def main() -> None:
        one = fake()
        host = near_host("a", one)
        await host.ask("pin", "x.gguf", pin=Pin(False, 2.0))
        await host.ask("pin", "x.gguf", pin=Pin(True, 1.0))
        assert one.calls == ["unpin x.gguf"]

    run(main)


class Files:
    """What the hosts of a cluster read their settings from."""

    def __init__(self) -> None:
        self.settings: dict[str, Settings | str] = dict.fromkeys("abc", Settings())

    def read(self, name: str) -> Settings:
        found = self.settings[name]
        if isinstance(found, str):
            raise ConfigurationError(found)
        return found


@asynccontextmanager
async def reloadable() -> AsyncIterator[tuple[ClusterService, NearHosts, Files]]:
    files = Files()
    near = NearHosts(
        *(near_host(name, Other(models=(SPEC,)), partial(files.read, name)) for name in "ab")
    )
    service = ClusterService(cast("Any", near), RaySettings(refresh_s=30.0), lambda _event: None)
    await service.start()
    try:
        yield service, near, files
    finally:
        await service.aclose()


class Other(FakeService):
    """A service that takes over other settings."""

    async def reconfigure(self, settings: Settings) -> None:
        self.calls.append(f"reconfigure {settings.max_queue_depth}")


def calls_of(near: NearHosts) -> list[list[str]]:
    return [
        [call for call in host._app.service.calls if call.startswith("reconfigure")]
        for host in near.hosts.values()
    ]


def test_every_host_reads_its_settings_again():
    async def main() -> None:
        async with reloadable() as (service, near, files):
            files.settings = dict.fromkeys("ab", Settings(max_queue_depth=7))
            await service.reconfigure(Settings())
            assert calls_of(near) == [["reconfigure 7"], ["reconfigure 7"]]

    run(main)


def test_settings_that_one_host_cannot_read_change_no_host_and_are_shown():
    async def main() -> None:
        async with reloadable() as (service, near, files):
            files.settings["b"] = "no such file"
            with pytest.raises(ConfigurationError, match="host b: no such file"):
                await service.reconfigure(Settings())
            assert calls_of(near) == [[], []]
            status = await service.status()
            assert [each.error for each in status.hosts] == [None, "no such file"]
            assert status.error == "host b: no such file"
            files.settings["b"] = Settings()
            await service.reconfigure(Settings())
            assert [each.error for each in (await service.status()).hosts] == [None, None]

    run(main)


def test_hosts_that_know_of_no_file_say_what_to_set():
    async def main() -> None:
        async with running(fake()) as (service, _):
            with pytest.raises(NotSupportedError, match=r"ray\.settings_file"):
                await service.reconfigure(Settings())

    run(main)


def test_an_ingress_takes_over_what_hosts_have_reloaded_at_the_word_of_another():
    async def main() -> None:
        async with reloadable() as (service, near, _):
            followed = []

            async def follow() -> None:
                followed.append(True)
                await service.reconfigure(Settings())

            service.follow = follow
            other = ClusterService(
                cast("Any", near), RaySettings(refresh_s=30.0), lambda _event: None
            )
            await other.start()
            await other.reconfigure(Settings())
            for _ in range(3):
                await service.status()
                await settled(service)
            assert followed == [True]
            assert [len(each) for each in calls_of(near)] == [1, 1]
            await other.aclose()

    run(main)


def test_a_host_gives_signs_of_life_while_it_works(monkeypatch):
    monkeypatch.setattr("modeld_ray.host.SIGN_OF_LIFE_S", 0.001)

    async def main() -> None:
        one = fake()
        one.unary_gate = asyncio.Event()
        host = near_host("a", one)
        request = TokenizeRequest(model="x", text="words")
        async with aclosing(host.respond("submit_placed", request)) as outcomes:
            assert await anext(outcomes) is None
            one.unary_gate.set()
            rest = [each async for each in outcomes if each is not None]
        assert [each.error for each in rest] == [None]

    run(main)


def test_a_caller_that_leaves_ends_what_it_has_asked_for():
    async def main() -> None:
        one = fake()
        one.unary_gate = asyncio.Event()
        host = near_host("a", one)
        request = TokenizeRequest(model="x", text="words")
        outcomes = host.respond("submit_placed", request)
        asking = asyncio.ensure_future(anext(outcomes))
        await one.begun.wait()
        asking.cancel()
        await asyncio.wait([asking])
        await outcomes.aclose()
        assert one.ends == ["left"]

    run(main)
