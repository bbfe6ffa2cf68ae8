# SPDX-License-Identifier: GPL-3.0-only
"""Backends that are right in every way, for the contract to pass and for mutants to spoil.

A model is a file of the format ``toy``: a line with the number of bytes that follow it.
"""

from __future__ import annotations

import asyncio
import random
import zlib
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from modeld import (
    Backend,
    BackendSampling,
    Capability,
    Chunk,
    Done,
    Engine,
    EngineHost,
    FinishReason,
    GenerateRequest,
    MemoryEstimate,
    ModelSpec,
    Options,
    SimpleEngine,
    StepChunk,
    StepEngine,
    Token,
    Usage,
)
from modeld.errors import (
    DrainingError,
    InvalidModelError,
    InvalidRequestError,
    PromptTooLongError,
    WorkerCrashedError,
)
from modeld.interfaces import ReportProgress
from modeld.requests import (
    AnyRequest,
    AnyUnaryRequest,
    ApplyTemplateRequest,
    DetokenizeRequest,
    EmbedRequest,
    RerankRequest,
    TokenizeRequest,
    not_supported,
)
from modeld.responses import (
    AnyUnaryResponse,
    EmbedResponse,
    LikelyToken,
    RerankResponse,
    TextResponse,
    TokenizeResponse,
    TokenLogprobs,
    ToolCallDelta,
)

WORDS = (
    " a",
    " boat",
    " on",
    " the",
    " naïve",
    " sea",
    " saw",
    " 🎈",
    " two",
    " fish",
    " 日本",
    " now",
)
CONTEXT = 512
LONGEST = 40
SIZE = 4096
FAILING = GenerateRequest(prompt="fail in the middle", max_tokens=8)


def write_toy(folder: Path) -> ModelSpec:
    """Write a model's file and return what a source would say of it."""
    path = folder / "little.toy"
    path.write_bytes(b"%d\n" % SIZE + bytes(SIZE))
    return spec_of(path)


def spec_of(path: Path) -> ModelSpec:
    size = path.stat().st_size
    return ModelSpec(id=path.name, name=path.stem, path=str(path), format="toy", size_bytes=size)


def read_toy(spec: ModelSpec) -> int:
    """Return how many bytes a model has; raise if its file is no whole one."""
    head, _, data = Path(spec.path).read_bytes().partition(b"\n")
    if len(data) != int(head):
        raise InvalidModelError(f"the file has {len(data)} bytes, and should have {int(head)}")
    return len(data)


def prompt_of(request: GenerateRequest) -> bytes:
    if request.prompt_tokens is not None:
        return bytes(token % 256 for token in request.prompt_tokens)
    if request.messages:
        return "".join(message.text for message in request.messages).encode()
    return (request.prompt or "").encode()


def check_prompt(request: GenerateRequest) -> bytes:
    prompt = prompt_of(request)
    if len(prompt) > CONTEXT:
        raise PromptTooLongError(f"{len(prompt)} tokens are more than {CONTEXT}", field="prompt")
    return prompt


def words_of(request: GenerateRequest) -> list[str]:
    """Return the words to say, always the same ones to the same request."""
    if request.choice is not None:
        return list(request.choice[0])
    prompt, sampling = prompt_of(request), request.sampling
    chance = random.Random(f"{zlib.crc32(prompt)}:{sampling.seed if sampling.temperature else ''}")
    most = min(request.max_tokens or LONGEST, LONGEST)
    start = chance.randrange(len(WORDS))
    return [WORDS[(start + number) % len(WORDS)] for number in range(most)]


def probable(word: str, most: int | None) -> tuple[TokenLogprobs, ...]:
    if most is None:
        return ()
    token = LikelyToken(id=1, piece=word.encode(), logprob=-0.5)
    return (TokenLogprobs(chosen=token, top=(token,) * most),)


def plan_of(request: GenerateRequest) -> list[StepChunk]:
    """Return all that a request gets."""
    usage = Usage(prompt_tokens=len(check_prompt(request)))
    if request.tool_choice.mode == "required":
        name = request.tools[0].name
        call = ToolCallDelta(index=0, id="call_0", name=name, arguments='{"a":"b"}')
        usage = Usage(prompt_tokens=usage.prompt_tokens, completion_tokens=1)
        return [call, Done(finish_reason=FinishReason.TOOL_CALLS, usage=usage)]
    words = words_of(request)
    whole = "".join(words)
    found = sorted((whole.index(stop), stop) for stop in request.stop if stop in whole)
    left, shown = found[0][0] if found else len(whole), []
    for word in words:
        if left > 0:
            shown.append(Token(text=word[:left], logprobs=probable(word, request.logprobs)))
            left -= len(word)
    ended = FinishReason.LENGTH if request.max_tokens == len(words) else FinishReason.STOP
    return [
        *shown,
        Done(
            finish_reason=FinishReason.STOP if found else ended,
            usage=Usage(prompt_tokens=usage.prompt_tokens, completion_tokens=len(shown)),
            stop_text=found[0][1] if found else None,
        ),
    ]


def response_to(request: AnyUnaryRequest) -> AnyUnaryResponse:
    match request:
        case EmbedRequest(inputs=inputs):
            return EmbedResponse(vectors=((0.6, 0.8),) * len(inputs), usage=Usage())
        case RerankRequest(documents=documents):
            return RerankResponse(scores=(1.0,) * len(documents), usage=Usage())
        case TokenizeRequest(text=text, with_pieces=with_pieces):
            data = text.encode()
            pieces = tuple(data[at : at + 1] for at in range(len(data))) if with_pieces else ()
            return TokenizeResponse(ids=tuple(data), pieces=pieces)
        case DetokenizeRequest(tokens=tokens):
            return TextResponse(text=bytes(tokens).decode(errors="replace"))
        case ApplyTemplateRequest(messages=messages):
            return TextResponse(text="".join(f"<{each.role}>{each.text}\n" for each in messages))
        case _:
            raise not_supported(request)


class ToyOptions(Options, frozen=True):
    """What can be set per model."""

    slots: Annotated[int, Meta(ge=1, le=8)] = 2
    pace: Annotated[int, Meta(ge=1, le=9)] = 1


class ToySampling(BackendSampling, frozen=True):
    """What only this backend knows."""

    toy_mood: Annotated[
        Annotated[int, Meta(ge=1, le=3)] | None, Meta(description="how it is told")
    ] = None


class ToyEngine(StepEngine):
    """Says its words one step at a time, for all requests at once."""

    def __init__(self, held_bytes: int, slots: int) -> None:
        self.held_bytes = held_bytes
        self.slots = slots
        self.plans: dict[int, list[StepChunk | AnyUnaryResponse]] = {}
        self.paused: set[int] = set()

    @classmethod
    def open(
        cls, spec: ModelSpec, options: Mapping[str, Any], progress: ReportProgress
    ) -> ToyEngine:
        progress(0.5)
        held_bytes = read_toy(spec)
        progress(1.0)
        return cls(held_bytes, options["slots"])

    def submit(self, request_id: int, request: AnyRequest) -> None:
        assert len(self.plans) < self.slots, "more requests than slots"
        if not isinstance(request, GenerateRequest):
            self.plans[request_id] = [response_to(request)]
            return
        if request.prompt == FAILING.prompt:
            raise InvalidRequestError("it was told to fail", field="prompt")
        self.plans[request_id] = [*plan_of(request)]

    def step(self) -> Sequence[tuple[int, StepChunk | AnyUnaryResponse]]:
        going = [each for each in self.plans if each not in self.paused]
        produced = [(each, self.plans[each].pop(0)) for each in going]
        self.plans = {each: plan for each, plan in self.plans.items() if plan}
        return produced

    def pause(self, request_id: int) -> bool:
        self.paused.add(request_id)
        return True

    def resume(self, request_id: int) -> None:
        self.paused.discard(request_id)

    def cancel(self, request_id: int) -> None:
        self.plans.pop(request_id, None)
        self.paused.discard(request_id)

    def close(self) -> None:
        self.plans.clear()


class Toy(Backend):
    """Loads ``engine``, a step engine."""

    name = "toy"
    options_type: ClassVar[type[Options]] = ToyOptions
    sampling_type: ClassVar[type[BackendSampling]] = ToySampling
    engine: ClassVar[type[StepEngine]] = ToyEngine

    def can_load(self, spec: ModelSpec) -> bool:
        return spec.format == "toy"

    def capabilities(self, spec: ModelSpec, options: Options) -> Collection[Capability]:
        return {
            *(Capability.TEXT, Capability.TOKEN_IDS, Capability.CHAT, Capability.PARTS),
            *(Capability.TOOLS, Capability.LOGPROBS, Capability.CHOICE, Capability.CONTINUE_LAST),
            *(Capability.EMBED, Capability.RERANK, Capability.TOKENIZE, Capability.TEMPLATE),
        }

    def context(self, spec: ModelSpec, options: Options) -> int | None:
        return CONTEXT

    def estimate(self, spec: ModelSpec, options: Options) -> MemoryEstimate:
        return MemoryEstimate(weights_bytes=spec.size_bytes)

    async def measure(
        self, spec: ModelSpec, options: Options, host: EngineHost
    ) -> MemoryEstimate | None:
        return MemoryEstimate(weights_bytes=spec.size_bytes)

    async def load(self, spec: ModelSpec, options: Options, host: EngineHost) -> Engine:
        return await host.start(f"{self.engine.__module__}:{self.engine.__name__}", spec, options)


class ToySimpleEngine(SimpleEngine):
    """A generator."""

    @classmethod
    def open(
        cls, spec: ModelSpec, options: Mapping[str, Any], progress: ReportProgress
    ) -> ToySimpleEngine:
        engine = cls()
        engine.held_bytes = read_toy(spec)
        return engine

    def generate(self, request: GenerateRequest) -> Iterator[str]:
        self.prompt_tokens = len(check_prompt(request))
        for number, word in enumerate(words_of(request)):
            if request.prompt == FAILING.prompt and number == 2:
                raise InvalidRequestError("it was told to fail", field="prompt")
            yield word


class SimpleToy(Toy):
    """Loads a simple engine, and declares what such a one serves."""

    name = "simple-toy"
    engine = ToySimpleEngine
    options_type = Options

    def capabilities(self, spec: ModelSpec, options: Options) -> Collection[Capability]:
        return {Capability.TEXT, Capability.CHAT}


class ToyOwnEngine(Engine):
    """Sends every word through a process of its own and back."""

    def __init__(self, held_bytes: int, slots: int, process: Process) -> None:
        self.held_bytes = held_bytes
        self.slots = slots
        self.pid = process.pid
        self.process = process
        self.is_closed = False
        self.one_at_a_time = asyncio.Lock()

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        if request.prompt == FAILING.prompt:
            raise InvalidRequestError("it was told to fail", field="prompt")
        for chunk in plan_of(request):
            await self.through_process()
            yield chunk  # type: ignore[misc]  # a plan of text has no failures

    async def through_process(self) -> None:
        if self.is_closed:
            raise DrainingError("it is closed")
        async with self.one_at_a_time:
            assert self.process.stdin is not None
            assert self.process.stdout is not None
            try:
                self.process.stdin.write(b"\n")
                await self.process.stdin.drain()
                line = await self.process.stdout.readline()
            except OSError:
                line = b""
            if not line and self.is_closed:
                raise DrainingError("it is closed")
            if not line:
                raise WorkerCrashedError("its process is gone")

    async def submit(self, request: AnyUnaryRequest) -> AnyUnaryResponse:
        if self.is_closed:
            raise DrainingError("it is closed")
        return response_to(request)

    async def aclose(self) -> None:
        self.is_closed = True
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()

    async def wait_exited(self) -> WorkerCrashedError:
        await self.process.wait()
        return WorkerCrashedError("its process is gone")

    def failure(self) -> WorkerCrashedError | None:
        is_dead = self.process.returncode is not None and not self.is_closed
        return WorkerCrashedError("its process is gone") if is_dead else None


class OwnToy(Toy):
    """Loads an engine of its own kind."""

    name = "own-toy"
    own_engine: ClassVar[type[ToyOwnEngine]] = ToyOwnEngine

    async def load(self, spec: ModelSpec, options: Options, host: EngineHost) -> Engine:
        held_bytes = await asyncio.to_thread(read_toy, spec)
        process = await asyncio.create_subprocess_exec("cat", stdin=PIPE, stdout=PIPE)
        return self.own_engine(held_bytes, options.slots, process)
