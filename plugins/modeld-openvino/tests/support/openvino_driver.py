# SPDX-License-Identifier: GPL-3.0-only
"""Drives an engine as modeld does: submit, step until all is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from modeld_openvino.engine import OpenVinoEngine

from modeld import Done, Failed, GenerateRequest, Message, ModelSpec, Sampling, StepChunk, Token
from modeld.requests import AnyRequest
from modeld.responses import AnyUnaryResponse

GREEDY = Sampling(temperature=0.0)
ENDLESS = Sampling(temperature=0.0, ignore_eos=True)


def ask(prompt: str, **fields: object) -> GenerateRequest:
    """Return a request for a prompt, whose generation goes on up to its limit."""
    return GenerateRequest(prompt=prompt, **({"sampling": ENDLESS} | fields))


def chat(content: str, **fields: object) -> GenerateRequest:
    """Return such a request for a chat of one message."""
    messages = (Message(role="user", content=content),)
    return GenerateRequest(messages=messages, **({"sampling": ENDLESS} | fields))


@dataclass
class Response:
    """What came out under one id."""

    tokens: list[str] = field(default_factory=list)
    end: Done | Failed | AnyUnaryResponse | None = None

    @property
    def text(self) -> str:
        return "".join(self.tokens)

    def take(self, chunk: StepChunk | AnyUnaryResponse) -> None:
        assert self.end is None, "nothing may follow the end"
        if isinstance(chunk, Token):
            assert chunk.text
            self.tokens.append(chunk.text)
        else:
            self.end = chunk


class Driver:
    """One engine and all responses so far."""

    def __init__(self, engine: OpenVinoEngine) -> None:
        self.engine = engine
        self.responses: dict[int, Response] = {}

    def submit(self, request: AnyRequest) -> int:
        request_id = len(self.responses)
        self.engine.submit(request_id, request)
        self.responses[request_id] = Response()
        return request_id

    def step(self) -> None:
        for request_id, chunk in self.engine.step():
            self.responses[request_id].take(chunk)

    def run(self, *requests: AnyRequest) -> list[Response]:
        """Submit requests together and step until they have ended."""
        ids = [self.submit(request) for request in requests]
        while any(self.responses[request_id].end is None for request_id in ids):
            self.step()
        return [self.responses[request_id] for request_id in ids]

    def read(self, request: AnyRequest) -> Response:
        """Run one request from beginning to end."""
        return self.run(request)[0]

    @property
    def is_idle(self) -> bool:
        """Whether OpenVINO holds nothing of any request."""
        return not self.engine._pipeline.has_non_finished_requests()


@contextmanager
def opened(path: Path, format_: str = "gguf", **options: object) -> Iterator[Driver]:
    """Yield what drives an engine with this model."""
    spec = ModelSpec(id=path.name, name=path.name, path=str(path), format=format_)
    engine = OpenVinoEngine.open(spec, {"threads": 1} | options, lambda _: None)
    yield Driver(engine)
    engine.close()
