# SPDX-License-Identifier: GPL-3.0-only
"""Nothing that a backend raises, returns or forgets leaves a model stuck or a process behind."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any

import psutil
import pytest

from modeld import (
    Done,
    Engine,
    EngineHost,
    FinishReason,
    GenerateRequest,
    MemoryEstimate,
    Message,
    ModelSpec,
    Options,
    Settings,
    Token,
    Usage,
)
from modeld.errors import (
    InternalError,
    InvalidModelError,
    LoadFailedError,
    ModeldError,
    WorkerCrashedError,
)
from modeld.httpapi.routes.status import _document
from modeld.plugins.host import PluginHost
from modeld.requests import (
    AnyUnaryRequest,
    ApplyTemplateRequest,
    DetokenizeRequest,
    EmbedRequest,
    RerankRequest,
    TokenizeRequest,
)
from modeld.responses import (
    AnyUnaryResponse,
    EmbedResponse,
    RerankResponse,
    TextResponse,
    TokenizeResponse,
)
from modeld.serving import contained_engine
from modeld.serving.service import LocalService
from modeld.serving.state.cooldown import Cooldown
from tests.support.hosting.leaks import PATIENCE_S, run
from tests.support.plugins.faulty import (
    ERRORS,
    NONSENSE,
    SAID,
    Facade,
    Faulty,
    Whim,
    raising,
    returning,
)
from tests.support.serving.sources import Shelf, a_spec


class Index:
    """A whole number of another class, as numpy's are."""

    def __index__(self) -> int:
        return 3


FEW = ("RuntimeError", "SystemExit", "CancelledError", "BaseExceptionGroup")
SOME = {name: ERRORS[name] for name in FEW}


HALF: Any = Usage(prompt_tokens=1.5)  # type: ignore[arg-type]
NONSENSE_SAID: dict[str, Callable[[], Any]] = {
    "nothing": tuple,
    "no end": returning(SAID[:1]),
    "a number": returning((Token(text=5), *SAID)),  # type: ignore[arg-type]
    "half a token": returning((Done(finish_reason=FinishReason.STOP, usage=HALF),)),
    "no reason": returning((Done(finish_reason=None, usage=Usage()),)),  # type: ignore[arg-type]
}


OWN: dict[str, Callable[[], Any]] = {
    f"{type(error).__name__} of {error.message!r}": raising(error)
    for error in (
        LoadFailedError(5),  # type: ignore[arg-type]
        InvalidModelError("half a pair: \udcff"),
        WorkerCrashedError(None),  # type: ignore[arg-type]
    )
}


def estimates() -> dict[str, Callable[[], Any]]:
    sizes: tuple[Any, ...] = (1.5, math.nan, "8", None, -1, 2**70)
    return {f"of {size!r}": returning(MemoryEstimate(weights_bytes=size)) for size in sizes} | {
        "nothing": returning(5)
    }


CASES: dict[str, dict[str, Callable[[], Any]]] = {
    "can_load": ERRORS | OWN,
    "estimate": ERRORS | OWN | estimates() | {"None": returning(None)},
    "measure": SOME | OWN | estimates(),
    "choose": ERRORS | {name: NONSENSE[name] for name in ("None", "'8'", "1.5", "[1]")},
    "load": ERRORS | NONSENSE | OWN,
    "slots": ERRORS | NONSENSE | {"0": returning(0)},
    "held_bytes": ERRORS | NONSENSE,
    "pid": ERRORS | NONSENSE | {"a word": returning("pid")},
    "failure": ERRORS | NONSENSE | OWN,
    "log_tail": ERRORS | NONSENSE | {"half": returning(("half a pair: \udcff",))},
    "wait_exited": ERRORS | NONSENSE | OWN,
    "aclose": ERRORS | {"a value": returning(5)},
    "generate": ERRORS | NONSENSE | OWN | NONSENSE_SAID,
    "submit": ERRORS
    | NONSENSE
    | OWN
    | {"half a token": returning(RerankResponse(scores=(), usage=HALF))},
}
FINE = {
    ("aclose", "a value"),
    ("failure", "None"),
    ("pid", "None"),
    ("log_tail", "[1]"),
    ("log_tail", "{}"),
    ("log_tail", "half"),
}
"""What is no fault where it stands."""


@asynccontextmanager
async def a_service(backend: Faulty, max_wait_s: float = PATIENCE_S) -> AsyncIterator[LocalService]:
    """Yield a service with room for one model."""
    settings = Settings(
        memory_budget_mb=100, memory_margin_mb=0, warm_workers=0, min_residence_s=0,
        eviction_policy="whim", load_timeout_s=PATIENCE_S, max_wait_s=max_wait_s,
    )  # fmt: skip
    plugins = PluginHost(settings)
    plugins.backends = {"faulty": backend}
    shelf = Shelf(a_spec("a"), a_spec("b"))
    plugins.sources = {shelf.name: shelf}
    plugins.eviction_policies = {"whim": Whim(backend)}
    service = LocalService(settings, plugins)
    await service.start()
    try:
        yield service
    finally:
        await service.aclose()
    assert (await service.status()).held_bytes == 0
    assert not psutil.Process().children(), "a worker is left"


async def serve(service: LocalService, model: str) -> str:
    """Ask for everything once; what came of it, in a word."""
    try:
        async with aclosing(service.generate(GenerateRequest(model=model, prompt="hi"))) as chunks:
            text = "".join([c.text async for c in chunks if isinstance(c, Token)])
        await service.submit(TokenizeRequest(model=model, text="hi"))
    except ModeldError as exc:
        return exc.code
    except Exception as exc:  # noqa: BLE001  (its name is what the test wants)
        return type(exc).__name__
    return text


async def walk(backend: Faulty, hook: str, fault: Callable[[], Any]) -> list[str]:
    """Put a fault in the way of model ``a``, then of both; then mend it."""
    waits_in_vain = hook in {"choose", "failure", "wait_exited"}
    patience_s = 0.1 + backend.workers if waits_in_vain else PATIENCE_S
    async with a_service(backend, patience_s) as service:
        if hook == "choose":
            assert await serve(service, "b") == "well"
        backend.faults[hook] = fault
        outcomes = [await serve(service, "a")]
        status = await service.status()
        _document(status, status.instances, None).model_dump_json()
        async with asyncio.timeout(PATIENCE_S):
            if "a" in service._scheduler.entries:
                await service.unload("a")
        status = await service.status()
        _document(status, status.instances, None).model_dump_json()
        outcomes.append(await serve(service, "b"))
        backend.faults.clear()
        for entry in service._scheduler.entries.values():
            entry.cooldown = Cooldown()
        assert await serve(service, "a") == "well", "it can be used again"
        assert await serve(service, "b") == "well", "and makes room for others"
    return outcomes


@pytest.mark.parametrize(
    ("hook", "fault"), [(hook, fault) for hook, faults in CASES.items() for fault in faults]
)
def test_a_fault_in_any_hook_leaves_a_model_that_can_be_used_again(
    hook: str, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    backend = Faulty(workers=0)
    outcomes = run(walk(backend, hook, CASES[hook][fault]))
    known = {"well", "load_failed", "worker_crashed", "internal_error", "backend_unavailable"}
    known |= {
        "budget_exceeded",
        "wait_timeout",
        "invalid_model",
        "RuntimeError",
        "UnspeakableError",
        "ExceptionGroup",
        "TypeError",
    }
    assert set(outcomes) <= known
    if (hook, fault) not in FINE and set(outcomes) == {"well"}:
        assert "faulty" in caplog.text or "whim" in caplog.text, "nobody was told"


RESPONSES: tuple[tuple[AnyUnaryRequest, AnyUnaryResponse], ...] = (
    (
        EmbedRequest(model="a", inputs=("x",)),
        EmbedResponse(vectors=((1.0,),), usage=Usage()),
    ),
    (
        RerankRequest(model="a", query="x", documents=("y",)),
        RerankResponse(scores=(1.0,), usage=Usage()),
    ),
    (TokenizeRequest(model="a", text="x"), TokenizeResponse(ids=(1,))),
    (DetokenizeRequest(model="a", tokens=(1,)), TextResponse(text="x")),
    (
        ApplyTemplateRequest(model="a", messages=(Message(role="user", content="x"),)),
        TextResponse(text="x"),
    ),
)


def test_the_response_to_a_request_of_another_kind_is_a_fault_of_the_backend(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        backend = Faulty(workers=0)
        async with a_service(backend) as service:
            assert await serve(service, "a") == "well"  # what comes now waits for no load
            for (request, due), (_, response) in itertools.product(RESPONSES, RESPONSES):
                backend.faults["submit"] = returning(response)
                if type(response) is type(due):
                    assert await service.submit(request) == response
                    continue
                with pytest.raises(InternalError) as raised:
                    await service.submit(request)
                assert raised.value.message.startswith("backend 'faulty': its engine's submit ")
                assert f"where a {type(due).__name__} was due" in raised.value.message
            backend.faults.clear()
            assert await serve(service, "a") == "well"

    run(main())


WITH_WORKERS = [
    *(("load", fault) for fault in [*FEW, "object"]),
    *(("measure", fault) for fault in ("RuntimeError", "SystemExit")),
    ("slots", "RuntimeError"),
    ("held_bytes", "nan"),
    ("failure", "SystemExit"),
    ("aclose", "RuntimeError"),
    ("aclose", "CancelledError"),
]


@pytest.mark.parametrize(("hook", "fault"), WITH_WORKERS)
def test_the_workers_of_a_load_go_with_it(hook: str, fault: str) -> None:
    run(walk(Faulty(workers=2), hook, CASES[hook][fault]))


def test_what_a_load_has_started_and_not_returned_is_ended_before_the_model_is_served() -> None:
    class Forgetful(Faulty):
        async def load(self, spec: ModelSpec, options_: Options, host: EngineHost) -> Engine:
            return (await self.start_workers(spec, host))[0]

    async def main() -> None:
        backend = Forgetful(workers=2)
        async with a_service(backend) as service:
            await service.load("a")
            (worker,) = psutil.Process().children()
            assert worker.pid == (await service.status()).instances[0].pid

    run(main())


@pytest.mark.parametrize("workers", [0, 2])
def test_an_engine_that_never_closes_is_left_behind_and_its_workers_are_not(
    workers: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(contained_engine, "CLOSE_LIMIT_S", 0.1)
    caplog.set_level(logging.ERROR)

    async def main() -> None:
        backend = Faulty(workers)
        released = asyncio.Event()

        async def stay() -> None:
            while not released.is_set():
                try:
                    await released.wait()
                except asyncio.CancelledError:
                    continue

        await walk(backend, "aclose", stay)
        released.set()

    run(main())
    assert "backend 'faulty': its engine's aclose took longer than" in caplog.text
    assert "it is left behind" in caplog.text


@pytest.mark.parametrize("workers", [0, 1])
def test_a_load_that_goes_on_after_it_was_given_up_costs_nobody_anything(workers: int) -> None:
    """Its engine, when it comes at last, is closed."""

    async def main() -> None:
        backend = Faulty(workers)
        released, closed = asyncio.Event(), asyncio.Event()
        backend.faults["aclose"] = closed.set

        async def stay() -> Engine:
            while not released.is_set():
                try:
                    await released.wait()
                except asyncio.CancelledError:
                    continue
            return Facade(backend, [])

        async with a_service(backend) as service:
            service._pool._lifecycle._loader._timeout_s = 0.2 + 3.0 * workers
            backend.faults["load"] = stay
            assert await serve(service, "a") == "load_failed"
            assert (await service.status()).held_bytes == 0
            assert not psutil.Process().children()
            del backend.faults["load"]
            service._pool._lifecycle._loader._timeout_s = PATIENCE_S
            assert await serve(service, "b") == "well"
            assert not closed.is_set()
            released.set()
            async with asyncio.timeout(PATIENCE_S):
                await closed.wait()

    run(main())


def test_a_whole_number_of_another_class_is_one() -> None:
    async def main() -> None:
        backend = Faulty(workers=0)
        backend.faults["slots"] = backend.faults["held_bytes"] = Index
        async with a_service(backend) as service:
            assert await serve(service, "a") == "well"
            (instance,) = (await service.status()).instances
            assert instance.slots == 3
            assert type(instance.slots) is int

    run(main())


@pytest.mark.parametrize("fault", ["KeyboardInterrupt", "RuntimeError"])
def test_the_error_and_the_log_name_the_backend_and_what_it_raised(
    fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        backend = Faulty(workers=0)
        backend.faults["load"] = ERRORS[fault]
        async with a_service(backend) as service:
            with pytest.raises(ModeldError) as caught:
                await service.load("a")
            assert "backend 'faulty'" in caught.value.message
            assert f"raised {fault}: the test" in caught.value.message

    run(main())
    assert f"raised {fault}: the test" in caplog.text
