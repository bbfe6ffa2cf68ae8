# SPDX-License-Identifier: GPL-3.0-only
"""Drives an engine as modeld does: submit, step until all is done."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from modeld_llama_cpp.engine import LlamaEngine

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
from modeld.questions import AnyQuestion, Reply
from modeld.values import TokenLogprobs

GREEDY = Sampling(temperature=0.0)


def ask(prompt: str, **fields: object) -> GenerateRequest:
    """A greedy request for a prompt."""
    return GenerateRequest(prompt=prompt, **({"sampling": GREEDY} | fields))


def chat(content: str, **fields: object) -> GenerateRequest:
    """A greedy request for a chat of one message."""
    messages = (Message(role="user", content=content),)
    return GenerateRequest(messages=messages, **({"sampling": GREEDY} | fields))


@dataclass
class Answer:
    """What came out under one id."""

    tokens: list[str] = field(default_factory=list)
    logprobs: list[TokenLogprobs] = field(default_factory=list)
    end: Done | Failed | Reply | None = None

    @property
    def text(self) -> str:
        return "".join(self.tokens)

    @property
    def reason(self) -> FinishReason | None:
        return self.end.finish_reason if isinstance(self.end, Done) else None

    @property
    def cached(self) -> int:
        assert isinstance(self.end, Done)
        return self.end.usage.cached_tokens

    def take(self, chunk: StepChunk | Reply) -> None:
        assert self.end is None, "nothing may follow the end"
        if isinstance(chunk, Token | Done):
            self.logprobs += chunk.logprobs
        if isinstance(chunk, Token):
            assert chunk.text
            self.tokens.append(chunk.text)
        else:
            self.end = chunk


class Driver:
    """One engine and all answers so far."""

    def __init__(self, engine: LlamaEngine) -> None:
        self.engine = engine
        self.answers: dict[int, Answer] = {}

    def submit(self, request: GenerateRequest) -> int:
        request_id = len(self.answers)
        self.engine.submit(request_id, request)
        self.answers[request_id] = Answer()
        return request_id

    def ask(self, question: AnyQuestion) -> Reply | Failed:
        """One question from beginning to end."""
        request_id = len(self.answers)
        self.engine.ask(request_id, question)
        self.answers[request_id] = Answer()
        end = self.finish(request_id)[0].end
        assert end is not None
        assert not isinstance(end, Done)
        return end

    def step(self) -> None:
        for request_id, chunk in self.engine.step():
            self.answers[request_id].take(chunk)

    def finish(self, *request_ids: int) -> list[Answer]:
        """Step until these requests have ended."""
        while any(self.answers[request_id].end is None for request_id in request_ids):
            self.step()
        return [self.answers[request_id] for request_id in request_ids]

    def run(self, *requests: GenerateRequest) -> list[Answer]:
        """Submit requests together and step until they have ended."""
        return self.finish(*[self.submit(request) for request in requests])

    def read(self, request: GenerateRequest) -> Answer:
        """One request from beginning to end."""
        return self.run(request)[0]


def open_driver(path: Path, **options: object) -> Driver:
    spec = ModelSpec(id=path.name, name=path.name, path=str(path))
    return Driver(LlamaEngine.open(spec, {"threads": 1} | options, lambda _: None))
