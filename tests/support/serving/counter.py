# SPDX-License-Identifier: GPL-3.0-only
"""A whole local service over a backend without a runtime, for tests of the verbs."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from typing import Any

from modeld import (
    Backend,
    Chunk,
    Done,
    Engine,
    EngineHost,
    FinishReason,
    GenerateRequest,
    MemoryEstimate,
    ModelSpec,
    Observer,
    Options,
    RegistrySource,
    Settings,
    Token,
    Usage,
)
from modeld.capabilities import Capability
from modeld.errors import InvalidRequestError, WorkerCrashedError
from modeld.events import Event
from modeld.machine.files import Machine
from modeld.plugins.host import PluginHost
from modeld.requests import AnyUnaryRequest, RerankRequest, TokenizeRequest
from modeld.responses import AnyUnaryResponse, RerankResponse, TokenizeResponse
from modeld.serving.service import LocalService
from modeld.serving.state.model_queue import ModelQueue
from modeld.status import InstanceState
from tests.support.serving.fakes import MIB, FakeEngine, Oldest
from tests.support.serving.sources import Shelf, a_spec

PATIENCE_S = 20.0
"""How long a test waits for what must happen; only a failing test waits that long."""


class Speaker(FakeEngine):
    """Says the words of the prompt, and does what some of them say."""

    def __init__(self, slots: int) -> None:
        super().__init__(slots=slots)
        self.running = 0
        self.may_go_on = asyncio.Event()

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        words = (request.prompt or "").split()
        with self._working():
            for word in words:
                if not await self._obeyed(word):
                    yield Token(text=word)
            usage = Usage(prompt_tokens=1, completion_tokens=len(words))
            yield Done(finish_reason=FinishReason.STOP, usage=usage)

    async def submit(self, request: AnyUnaryRequest) -> AnyUnaryResponse:
        """Return words as tokens, and scores for a query; nothing else is supported."""
        with self._working():
            if isinstance(request, RerankRequest):
                return RerankResponse(scores=(1.0,), usage=Usage(prompt_tokens=7))
            if not isinstance(request, TokenizeRequest):
                return await super().submit(request)
            words = [word for word in request.text.split() if not await self._obeyed(word)]
            return TokenizeResponse(ids=tuple(range(len(words))))

    @contextmanager
    def _working(self) -> Iterator[None]:
        assert self.running < self.slots, "more requests than slots"
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1

    async def _obeyed(self, word: str) -> bool:
        """Return whether it was a command and not a word to say."""
        match word:
            case "WAIT":
                await self.may_go_on.wait()
            case "REFUSE":
                raise InvalidRequestError("not this", field="prompt")
            case "CRASH":
                self.die()
                raise WorkerCrashedError("the test killed it")
            case "BUG":
                raise ZeroDivisionError("a bug")
            case _:
                return False
        return True


class SpeakerBackend(Backend):
    """Loads at once, or when ``may_load`` is set."""

    name = "speaker"

    def __init__(self) -> None:
        self.engines: list[Speaker] = []
        self.loaded: list[ModelSpec] = []
        self.may_load = asyncio.Event()
        self.may_load.set()
        self.load_errors: list[Exception] = []
        self.estimate_error: Exception | None = None
        self.estimate_mb = 100
        self.has_slots: int | None = None
        self.measured_mb: int | None = None

    def capabilities(self, spec: ModelSpec, options: Options) -> frozenset[Capability]:
        return frozenset(Capability)

    def can_load(self, spec: ModelSpec) -> bool:
        return spec.family != "alien"

    def estimate(self, spec: ModelSpec, options: Options) -> MemoryEstimate:
        if self.estimate_error is not None:
            raise self.estimate_error
        return MemoryEstimate(weights_bytes=self.estimate_mb * MIB)

    async def measure(
        self, spec: ModelSpec, options: Options, host: EngineHost
    ) -> MemoryEstimate | None:
        if self.measured_mb is None:
            return None
        return MemoryEstimate(weights_bytes=self.measured_mb * MIB)

    async def load(self, spec: ModelSpec, options: Options, host: EngineHost) -> Engine:
        self.loaded.append(spec)
        await self.may_load.wait()
        if self.load_errors:
            raise self.load_errors.pop()
        self.engines.append(Speaker(self.has_slots or options.slots or 1))
        return self.engines[-1]


class Notebook(Observer):
    """Keeps all events."""

    name = "notebook"

    def __init__(self) -> None:
        self.events: list[Event] = []

    def notify(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


class Counter:
    """What a test can reach of one service."""

    def __init__(
        self, *sources: RegistrySource, machine: Machine | None = None, **settings: Any
    ) -> None:
        defaults = {"warm_workers": 0, "eviction_policy": "oldest", "min_residence_s": 0.0}
        self.settings = Settings(**(defaults | settings))
        self.backend = SpeakerBackend()
        self.notebook = Notebook()
        self.plugins = PluginHost(self.settings)
        self.plugins.backends = {"speaker": self.backend}
        self.plugins.sources = {source.name: source for source in sources}
        self.plugins.eviction_policies = {"oldest": Oldest()}
        self.plugins.observers = {"notebook": self.notebook}
        self.service = LocalService(self.settings, self.plugins, machine)

    async def ask(
        self, prompt: str, model: str = "a", request_id: str = "r", **members: Any
    ) -> list[Chunk]:
        """Return all chunks of one response."""
        request = GenerateRequest(model=model, prompt=prompt, request_id=request_id, **members)
        async with aclosing(self.service.generate(request)) as chunks:
            return [chunk async for chunk in chunks]

    def asking(self, prompt: str, model: str = "a") -> "asyncio.Task[list[Chunk]]":
        return asyncio.create_task(self.ask(prompt, model))

    def queue(self, model: str) -> ModelQueue:
        return self.service._scheduler.entries[model].queue

    def state(self, model: str) -> InstanceState | None:
        entry = self.service._scheduler.entries.get(model)
        return entry.state(time.monotonic()) if entry else None

    async def states(self) -> dict[str, str]:
        status = await self.service.status()
        return {instance.model_id: instance.state.value for instance in status.instances}


async def until(holds: Callable[[], object]) -> None:
    """Return when ``holds`` says yes, for what no event tells."""
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110  (there is no event to wait for)
            await asyncio.sleep(0)


async def until_running(counter: Counter, count: int = 1) -> None:
    """Return when ``count`` requests work on the newest engine."""
    engines = counter.backend.engines
    await until(lambda: bool(engines) and engines[-1].running >= count)


def a_shelf() -> Shelf:
    """Return two good models, a broken one, and one that no backend loads."""
    return Shelf(
        a_spec("a"), a_spec("b"), a_spec("bad", problem="it is empty"), a_spec("x", family="alien")
    )


@asynccontextmanager
async def a_counter(
    *sources: RegistrySource, machine: Machine | None = None, **settings: Any
) -> AsyncIterator[Counter]:
    """Yield a service that has started and is closed at the end, with nothing left of it."""
    counter = Counter(*sources, machine=machine, **settings)
    async with asyncio.timeout(PATIENCE_S):
        await counter.service.start()
        yield counter
        await counter.service.aclose()
    assert (await counter.service.status()).held_bytes == 0
    assert all(engine.closed for engine in counter.backend.engines)
