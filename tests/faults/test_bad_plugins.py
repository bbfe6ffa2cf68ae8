# SPDX-License-Identifier: GPL-3.0-only
"""Whatever a plugin does at any of its seams, it costs its own requests and nobody else's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import httpx
import msgspec
import pytest
from starlette.middleware import Middleware

from modeld import Candidate, MemoryEstimate, Settings, Token, hookimpl
from modeld.errors import ConfigurationError, InvalidRequestError
from modeld.httpapi.app import ModeldApp
from modeld.plugins.host import PluginHost
from modeld.serving import entry_maker
from modeld.serving.service import LocalService
from modeld.serving.state.cooldown import Cooldown
from tests.support.hosting.leaks import run, until
from tests.support.http.served import RIG
from tests.support.plugins.faulty import (
    ERRORS,
    NONSENSE,
    SAID,
    Everything,
    Fault,
    Sound,
    raising,
    returning,
)

NAME = "zoo"
SETTINGS = Settings(
    memory_budget_mb=100,
    memory_margin_mb=0,
    warm_workers=0,
    min_residence_s=0,
    eviction_policy="whim",
    block_plugins=("gguf-folder", "llama-cpp"),
    max_wait_s=2.0,
    stall_timeout_s=0.5,
    cancel_timeout_s=0.5,
    source_timeout_s=0.5,
)


class Zoo:
    """An application with a plugin that is wrong and one that is not."""

    def __init__(self, bad: Everything | None = None, settings: Settings = SETTINGS) -> None:
        self.bad = bad or Everything()
        self.plugins = PluginHost.discover(settings, {"sound": Sound(), NAME: self.bad})
        self.app = ModeldApp(settings, self.plugins, None)
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://localhost")

    async def say(self, model: str, accept: str = "application/x-ndjson") -> httpx.Response:
        body = {"model": model, "prompt": "hi"}
        return await self._client.post("/infer", json=body, headers={"Accept": accept})

    async def tokenize(self, model: str) -> httpx.Response:
        return await self._client.post("/tokenize", json={"model": model, "content": "hi"})

    async def get(self, path: str) -> httpx.Response:
        return await self._client.get(path)

    async def post(self, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        return await self._client.post(path, json=body)

    async def unload(self, model: str) -> None:
        await self._client.post(f"/models/{model}/unload")

    async def faults(self) -> list[str]:
        """Return what ``GET /plugins`` says has gone wrong in the bad plugin."""
        plugins = (await self.get("/plugins")).json()["plugins"]
        (row,) = [each for each in plugins if each["name"] == NAME]
        return [fault["message"] for fault in row.get("faults", ())]

    async def heal(self) -> None:
        """Take the fault away, and what it has left: the cool-down, and a model in memory."""
        self.bad.faults.clear()
        service = self.app.service
        assert isinstance(service, LocalService)
        for model in ("a", "b"):
            await self.unload(model)
        for entry in service._scheduler.entries.values():
            entry.cooldown = Cooldown()

    async def aclose(self) -> None:
        await self._client.aclose()
        await self.app.aclose()
        assert (await self.app.service.status()).held_bytes == 0


@asynccontextmanager
async def a_zoo(bad: Everything | None = None, settings: Settings = SETTINGS) -> AsyncIterator[Zoo]:
    zoo = Zoo(bad, settings)
    try:
        yield zoo
    finally:
        await zoo.aclose()


async def listed(zoo: Zoo) -> None:
    """Return once the sources have said what they have: a busy machine may need all their time."""
    async with asyncio.timeout(10):
        while (await zoo.say("sound")).status_code == 404:
            pass  # each request asks them again


Provoke: TypeAlias = Callable[[Zoo], Awaitable[object]]


async def generate(zoo: Zoo) -> None:
    await zoo.say("a")


async def load_and_unload(zoo: Zoo) -> None:
    await zoo.say("a")
    await zoo.get("/status")
    await zoo.unload("a")


async def tokenize(zoo: Zoo) -> None:
    await zoo.tokenize("a")


async def make_room(zoo: Zoo) -> None:
    """Load a model for which another must go; the policy's fault hinders nobody."""
    async with asyncio.timeout(10):
        assert (await zoo.say("a")).status_code == 200
        assert (await zoo.say("b")).status_code == 200


async def refresh(zoo: Zoo) -> None:
    assert (await zoo.post("/models/refresh")).status_code == 200


async def observe(zoo: Zoo) -> None:
    assert (await zoo.say("sound")).status_code == 200


async def write(zoo: Zoo) -> None:
    await zoo.say("sound", "text/zoo")


async def write_error(zoo: Zoo) -> None:
    zoo.bad.faults["generate"] = half_a_generation
    await zoo.say("a", "text/zoo")


async def route(zoo: Zoo) -> None:
    assert (await zoo.get("/zoo/route")).status_code == 500


async def dialect(zoo: Zoo) -> None:
    await zoo.post("/zoo/say", {"text": "hi"})


async def dialect_error(zoo: Zoo) -> None:
    assert (await zoo.post("/zoo/say", {"no": "text"})).status_code == 400


def half_a_generation() -> Iterator[Token]:
    yield Token(text="half")
    raise InvalidRequestError("not more than that")


def some(*names: str) -> dict[str, Fault]:
    return {name: NONSENSE[name] for name in names}


def a_stranger() -> object:
    return [
        Candidate(model="leased", held_bytes=1 << 40, last_used_s=0, loaded_s=0, load_seconds=0)
    ]


ESTIMATES: dict[str, Fault] = {
    f"of {size!r}": returning(MemoryEstimate(weights_bytes=size))  # type: ignore[arg-type]
    for size in (1.5, float("nan"), "8", -1, 2**70)
}
ODD_TEXTS: dict[str, Fault] = {
    "a str": returning("text"), "None": returning(None), "a list": returning([b"x"]),
}  # fmt: skip

FEW = {name: ERRORS[name] for name in ("RuntimeError", "SystemExit", "CancelledError")}
"""Where each takes as long as a request may be queued."""

SEAMS: dict[str, tuple[Provoke, dict[str, Fault]]] = {
    "can_load": (generate, ERRORS),
    "choose_backend": (generate, ERRORS | some("1.5", "'8'")),
    "options": (generate, ERRORS),
    "capabilities": (generate, ERRORS | some("1.5", "'8'", "[1]", "None")),
    "estimate": (generate, ERRORS | ESTIMATES | some("None")),
    "load": (generate, ERRORS | some("None", "[1]")),
    "slots": (generate, ERRORS | some("'8'", "nan", "-1")),
    "held_bytes": (generate, ERRORS | some("'8'", "nan", "-1", "1.5")),
    "failure": (generate, FEW | some("1.5")),
    "wait_exited": (load_and_unload, ERRORS | some("1.5", "None")),
    "log_tail": (load_and_unload, ERRORS | some("1.5", "'8'")),
    "aclose": (load_and_unload, ERRORS),
    "generate": (generate, ERRORS | {"no end": returning(SAID[:1])} | some("[1]", "1.5")),
    "submit": (tokenize, ERRORS | some("None", "1.5")),
    "choose": (make_room, ERRORS | {"a stranger": a_stranger} | some("None", "'8'", "1.5", "[1]")),
    "list_models": (refresh, ERRORS | some("None", "[1]", "1.5")),
    "notify": (observe, ERRORS),
    "encode": (write, ERRORS | ODD_TEXTS),
    "encode_error": (write_error, ERRORS | ODD_TEXTS),
    "route": (route, ERRORS | some("None", "1.5")),
    "middleware": (route, ERRORS),
    "middleware_send": (route, ERRORS),
    "requests": (dialect, ERRORS | some("None", "1.5")),
    "encoder": (dialect, ERRORS | some("None", "1.5")),
    "piece": (dialect, ERRORS | ODD_TEXTS),
    "done": (dialect, ERRORS | ODD_TEXTS),
    "last": (dialect, ERRORS | ODD_TEXTS),
    "error": (dialect_error, ERRORS | some("None", "1.5")),
}
"""What each seam is provoked by, and what it does then."""


AT_ENTRY = {"can_load", "choose_backend", "options", "capabilities", "estimate"}
"""Seams that a model meets once, so that each fault there needs an application of its own."""


async def provoked(zoo: Zoo, seam: str, fault: str, caplog: pytest.LogCaptureFixture) -> None:
    """Put a fault at a seam, look at what it costs, and take it away again."""
    provoke, faults = SEAMS[seam]
    caplog.clear()
    zoo.plugins.faults._faults.clear()
    zoo.bad.faults[seam] = faults[fault]
    await provoke(zoo)
    response = await zoo.say("sound")
    assert response.status_code == 200, (seam, fault)
    assert b"well" in response.content, (seam, fault)
    assert await zoo.faults(), (seam, fault, "nobody is blamed")
    assert f"plugin {NAME!r}: " in caplog.text, (seam, fault, "nobody was told")
    await zoo.heal()
    assert (await zoo.say("a")).status_code == 200, (seam, fault, "it stays broken")
    assert (await zoo.post("/zoo/say", {"text": "hi"})).content == b"well", (seam, fault)
    await zoo.heal()


@pytest.mark.parametrize("seam", SEAMS)
def test_a_fault_at_any_seam_costs_its_own_request_and_names_its_plugin(
    seam: str, caplog: pytest.LogCaptureFixture
) -> None:
    _, faults = SEAMS[seam]

    async def main() -> None:
        shared = [list(faults)] if seam not in AT_ENTRY else [[name] for name in faults]
        for names in shared:
            async with a_zoo() as zoo:
                await listed(zoo)
                for name in names:
                    await provoked(zoo, seam, name, caplog)

    run(main())


def test_a_text_that_is_no_bytes_never_ends_a_response_as_if_it_were_done() -> None:
    async def main() -> None:
        async with a_zoo() as zoo:
            zoo.bad.faults["encode"] = returning("text")
            response = await zoo.say("sound", "text/zoo")
            assert response.status_code == 500
            assert response.json()["reason"] == "internal_error"
            assert "formatter 'faulty'" not in response.text
            (message,) = await zoo.faults()
            assert message == "formatter 'faulty': its encoder returned 'text', which is no bytes"

    run(main())


def test_of_an_engine_that_cannot_say_how_it_is_the_traceback_is_for_the_operator(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async with a_zoo() as zoo:
            assert (await zoo.say("a")).status_code == 200
            zoo.bad.faults["failure"] = raising(ZeroDivisionError("the test"))
            response = await zoo.say("a")
            assert response.json()["reason"] == "wait_timeout", "each engine is dead at once"
            assert "Traceback" not in response.text
            assert ".py" not in response.text
            (instance,) = [
                each
                for each in (await zoo.get("/status")).json()["instances"]
                if each["model_id"] == "a"
            ]
            assert instance["log_tail"][-1] == "ZeroDivisionError: the test"
            assert any("faulty.py" in line for line in instance["log_tail"])

    run(main())
    assert "Traceback (most recent call last):" in caplog.text
    assert "faulty.py" in caplog.text


def test_a_middleware_that_cannot_be_made_forbids_the_start_and_is_named() -> None:
    class Unmade:
        @hookimpl
        def modeld_register_middleware(self) -> list[Middleware]:
            return [Middleware(raising(SystemExit(3)))]  # type: ignore[arg-type]

    plugins = PluginHost.discover(Settings(), {"bad": Unmade()})
    with pytest.raises(ConfigurationError, match=r"middleware 'bad:0:.*leave its plugin out"):
        ModeldApp(Settings(), plugins, None)


def test_a_warm_import_that_fails_is_told_of_its_plugin(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bad = Everything()
    bad.backend.warm_imports = ("no.such.module",)  # type: ignore[misc]

    async def main() -> None:
        async with a_zoo(bad, msgspec.structs.replace(SETTINGS, warm_workers=1)) as zoo:
            assert (await zoo.say("sound")).status_code == 200
            await until(lambda: zoo.plugins.faults.of(NAME))
            (message,) = await zoo.faults()
            assert message.startswith("backend 'faulty': its warm import of no.such.module failed")

    run(main())
    assert "plugin 'zoo': backend 'faulty': its warm import of no.such.module" in caplog.text


def test_a_source_that_hangs_holds_up_no_start_and_is_named() -> None:
    bad, gate = Everything(), threading.Event()

    def hang() -> list[object]:
        gate.wait()
        return []

    async def main() -> None:
        bad.faults["list_models"] = hang
        async with a_zoo(bad) as zoo:
            assert (await zoo.get("/readyz")).text == "source_late"
            assert (await zoo.say("sound")).status_code == 200
            assert (await zoo.post("/models/refresh")).status_code == 200
            assert (await zoo.get("/readyz")).text == "ready"
            (message,) = await zoo.faults()
            assert message.startswith("source faulty failed: it has not answered for 0.5 s")
            gate.set()

    run(main())


def test_a_task_of_a_source_that_exits_ends_its_own_loop_and_not_the_server() -> None:
    bad = Everything()

    async def leave() -> None:
        raise SystemExit(3)

    async def list_in_a_task() -> None:
        await asyncio.create_task(leave())

    async def main() -> None:
        async with a_zoo(bad) as zoo:
            assert (await zoo.say("a")).status_code == 200
            bad.faults["list_models"] = list_in_a_task
            assert (await zoo.post("/models/refresh")).status_code == 200
            (message,) = await zoo.faults()
            assert message == "source faulty failed: SystemExit: 3"
            assert (await zoo.say("a")).status_code == 200, "its last list is kept"

    run(main())


def test_an_estimate_that_hangs_holds_up_its_own_model_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(entry_maker, "LIMIT_S", 0.2)
    bad, gate = Everything(), threading.Event()
    bad.faults["estimate"] = gate.wait

    async def main() -> None:
        async with a_zoo(bad) as zoo:
            assert (await zoo.say("a")).status_code == 503
            assert (await zoo.say("sound")).status_code == 200
            (message,) = await zoo.faults()
            assert message == "backend 'faulty' has not said for 10 s what 'a' needs"
            bad.faults.clear()
            gate.set()

    run(main())


def test_a_policy_that_hangs_holds_up_nobody_for_long() -> None:
    bad, gate = Everything(), threading.Event()
    bad.faults["choose"] = gate.wait

    async def main() -> None:
        async with a_zoo(bad) as zoo:
            await make_room(zoo)
            await zoo.unload("b")
            await make_room(zoo)
            (message,) = await zoo.faults()
            assert message.endswith("is not asked again: 'lru' decides from now on")
            gate.set()

    run(main())


@pytest.mark.parametrize("workers", [0, 1])
def test_an_engine_that_hangs_is_taken_out_of_service_and_the_model_loaded_anew(
    workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(RIG)  # what the workers run
    bad = Everything(workers)

    async def main() -> None:
        never = asyncio.Event()
        bad.faults["generate"] = never.wait
        async with a_zoo(bad) as zoo:
            response = await zoo.say("a")
            assert response.status_code == 503
            assert response.json()["reason"] == "worker_crashed"
            (message,) = await zoo.faults()
            assert message == "model 'a': the model's engine hangs: it made no progress for 0.5 s"
            await zoo.heal()
            assert (await zoo.say("a")).status_code == 200

    run(main())


def test_a_policy_that_is_wrong_is_replaced_by_lru_and_both_are_said() -> None:
    async def main() -> None:
        async with a_zoo() as zoo:
            zoo.bad.faults["choose"] = raising(SystemExit(3))
            await make_room(zoo)
            (message,) = await zoo.faults()
            assert message == "eviction policy 'whim' raised SystemExit: 3; 'lru' decides"

    run(main())
