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
from modeld.errors import InvalidRequestError, WorkerCrashedError
from modeld.events import Event
from modeld.plugins import PluginHost
from modeld.questions import (
    AnyQuestion,
    Ranking,
    Reply,
    RerankQuestion,
    TokenizeQuestion,
    Tokens,
)
from modeld.serving.admission import Line
from modeld.serving.service import LocalService
from modeld.values import InstanceState
from tests.serving.fakes import MIB, FakeEngine, Oldest
from tests.serving.sources import Shelf, a_spec

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

    async def ask(self, question: AnyQuestion) -> Reply:
        """The words of a text are its tokens; a query ranks; nothing else is supported."""
        with self._working():
            if isinstance(question, RerankQuestion):
                return Ranking(scores=(1.0,), usage=Usage(prompt_tokens=7))
            if not isinstance(question, TokenizeQuestion):
                return await super().ask(question)
            words = [word for word in question.text.split() if not await self._obeyed(word)]
            return Tokens(ids=tuple(range(len(words))))

    @contextmanager
    def _working(self) -> Iterator[None]:
        assert self.running < self.slots, "more requests than slots"
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1

    async def _obeyed(self, word: str) -> bool:
        """Whether it was a command and not a word to say."""
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

    def can_load(self, spec: ModelSpec) -> bool:
        return spec.family != "alien"

    def estimate(self, spec: ModelSpec, options: Options) -> MemoryEstimate:
        if self.estimate_error is not None:
            raise self.estimate_error
        return MemoryEstimate(weights_bytes=100 * MIB)

    async def load(self, spec: ModelSpec, options: Options, host: EngineHost) -> Engine:
        self.loaded.append(spec)
        await self.may_load.wait()
        if self.load_errors:
            raise self.load_errors.pop()
        self.engines.append(Speaker(options.slots))
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

    def __init__(self, *sources: RegistrySource, **settings: Any) -> None:
        defaults = {"spare_workers": 0, "eviction_policy": "oldest", "min_residence_s": 0.0}
        self.settings = Settings(**(defaults | settings))
        self.backend = SpeakerBackend()
        self.notebook = Notebook()
        self.plugins = PluginHost(self.settings)
        self.plugins.backends = {"speaker": self.backend}
        self.plugins.sources = {source.name: source for source in sources}
        self.plugins.eviction_policies = {"oldest": Oldest()}
        self.plugins.observers = {"notebook": self.notebook}
        self.service = LocalService(self.settings, self.plugins)

    async def ask(self, prompt: str, model: str = "a", request_id: str = "r") -> list[Chunk]:
        """All chunks of one answer."""
        request = GenerateRequest(model=model, prompt=prompt, request_id=request_id)
        async with aclosing(self.service.infer(request)) as chunks:
            return [chunk async for chunk in chunks]

    def asking(self, prompt: str, model: str = "a") -> "asyncio.Task[list[Chunk]]":
        return asyncio.create_task(self.ask(prompt, model))

    def line(self, model: str) -> Line:
        return self.service._turns.places[model].line

    def state(self, model: str) -> InstanceState | None:
        place = self.service._turns.places.get(model)
        return place.state(time.monotonic()) if place else None

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
    """Two good models, a broken one, and one that no backend loads."""
    return Shelf(
        a_spec("a"), a_spec("b"), a_spec("bad", problem="it is empty"), a_spec("x", family="alien")
    )


@asynccontextmanager
async def a_counter(*sources: RegistrySource, **settings: Any) -> AsyncIterator[Counter]:
    """A service that has started and is closed at the end, with nothing left of it."""
    counter = Counter(*sources, **settings)
    async with asyncio.timeout(PATIENCE_S):
        await counter.service.start()
        yield counter
        await counter.service.aclose()
    assert (await counter.service.status()).held_bytes == 0
    assert all(engine.closed for engine in counter.backend.engines)
