# SPDX-License-Identifier: GPL-3.0-only
"""Drives an engine as modeld does: submit, step until all is done."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import llama_cpp
from modeld_llama_cpp.engine.engine import LlamaEngine
from modeld_llama_cpp.engine.sequence import Plan

from modeld import (
    Done,
    Failed,
    FinishReason,
    GenerateRequest,
    Message,
    ModelSpec,
    Sampling,
    StepChunk,
    Token,
)
from modeld.requests import AnyUnaryRequest
from modeld.responses import AnyUnaryResponse, ReasoningToken, TokenLogprobs, ToolCallDelta

GREEDY = Sampling(temperature=0.0)


def ask(prompt: str, **fields: object) -> GenerateRequest:
    """Return a greedy request for a prompt."""
    return GenerateRequest(prompt=prompt, **({"sampling": GREEDY} | fields))


def chat(content: str, **fields: object) -> GenerateRequest:
    """Return a greedy request for a chat of one message."""
    messages = (Message(role="user", content=content),)
    return GenerateRequest(messages=messages, **({"sampling": GREEDY} | fields))


@dataclass
class Generation:
    """What came out under one id."""

    tokens: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    calls: list[ToolCallDelta] = field(default_factory=list)
    logprobs: list[TokenLogprobs] = field(default_factory=list)
    end: Done | Failed | AnyUnaryResponse | None = None

    @property
    def text(self) -> str:
        return "".join(self.tokens)

    @property
    def reasoning(self) -> str:
        return "".join(self.thoughts)

    @property
    def tool_calls(self) -> list[tuple[str, str]]:
        """The name and the arguments of each call."""
        names = {call.index: call.name for call in self.calls if call.name}
        return [
            (name, "".join(call.arguments for call in self.calls if call.index == index))
            for index, name in names.items()
        ]

    @property
    def reason(self) -> FinishReason | None:
        return self.end.finish_reason if isinstance(self.end, Done) else None

    @property
    def cached(self) -> int:
        assert isinstance(self.end, Done)
        return self.end.usage.cached_tokens

    def take(self, chunk: StepChunk | AnyUnaryResponse) -> None:
        assert self.end is None, "nothing may follow the end"
        if isinstance(chunk, Token | ReasoningToken | ToolCallDelta | Done):
            self.logprobs += chunk.logprobs
        match chunk:
            case Token(text=text):
                assert text
                self.tokens.append(text)
            case ReasoningToken(text=text):
                assert text
                self.thoughts.append(text)
            case ToolCallDelta():
                self.calls.append(chunk)
            case _:
                self.end = chunk


class Driver:
    """One engine and all generations so far."""

    def __init__(self, engine: LlamaEngine) -> None:
        self.engine = engine
        self.generations: dict[int, Generation] = {}

    def submit(self, request: GenerateRequest) -> int:
        request_id = len(self.generations)
        self.engine.submit(request_id, request)
        self.generations[request_id] = Generation()
        return request_id

    def ask(self, request: AnyUnaryRequest) -> AnyUnaryResponse | Failed:
        """Run one unary request from beginning to end."""
        request_id = len(self.generations)
        self.engine.submit(request_id, request)
        self.generations[request_id] = Generation()
        end = self.finish(request_id)[0].end
        assert end is not None
        assert not isinstance(end, Done)
        return end

    def step(self) -> None:
        for request_id, chunk in self.engine.step():
            self.generations[request_id].take(chunk)

    def finish(self, *request_ids: int) -> list[Generation]:
        """Step until these requests have ended."""
        while any(self.generations[request_id].end is None for request_id in request_ids):
            self.step()
        return [self.generations[request_id] for request_id in request_ids]

    def run(self, *requests: GenerateRequest) -> list[Generation]:
        """Submit requests together and step until they have ended."""
        return self.finish(*[self.submit(request) for request in requests])

    def read(self, request: GenerateRequest) -> Generation:
        """Run one request from beginning to end."""
        return self.run(request)[0]


def open_driver(path: Path, **options: object) -> Driver:
    spec = ModelSpec(id=path.name, name=path.name, path=str(path))
    return Driver(LlamaEngine.open(spec, {"threads": 1} | options, lambda _: None))


def positions(driver: Driver) -> list[int]:
    """Return the last position in memory of every sequence, -1 for none."""
    runner = driver.engine._runner
    return [
        llama_cpp.llama_memory_seq_pos_max(runner._memory, seq_id)
        for seq_id in range(driver.engine._model.sequences)
    ]


def is_clean(driver: Driver) -> bool:
    """Return whether nothing of any request is left, once nothing rests any longer."""
    engine = driver.engine
    engine._runner.edit(engine._scheduler.plan().edits)
    engine._runner.edit(engine._scheduler.let_go())
    return (
        set(positions(driver)) == {-1}
        and engine._scheduler.cells.used == 0
        and not engine._scheduler.busy
        and not engine._generations
        and not engine._preparing
    )


PROMPTS = ("one", "a much longer prompt than the others have, " * 4, "x", "the third of them")


def stretches(plan: Plan) -> dict[int, tuple[int, int]]:
    return {part.sequence.request_id: (part.start, part.stop) for part in plan.parts}
