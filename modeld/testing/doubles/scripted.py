# SPDX-License-Identifier: GPL-3.0-only
"""An engine that plays a script, and a backend that loads it: models without a runtime."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Final, TypeAlias, assert_never

from modeld import (
    Backend,
    Capability,
    Chunk,
    Done,
    Engine,
    EngineHost,
    FinishReason,
    GenerateRequest,
    ModelSpec,
    Options,
    Token,
    Usage,
)
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

Step: TypeAlias = Chunk | BaseException | asyncio.Event
"""One step of a script: a chunk is yielded, an error raised, an event waited for."""

USAGE: Final = Usage(prompt_tokens=3, completion_tokens=2)
DONE: Final = Done(finish_reason=FinishReason.STOP, usage=USAGE, content="ab")
GENERATION: Final[tuple[Step, ...]] = (Token(text="a"), Token(text="b"), DONE)
"""What is generated unless a script says otherwise."""


async def play(script: Sequence[Step], ends: list[str]) -> AsyncGenerator[Chunk, None]:
    """Play a script, and note how it ended: ``done``, ``left`` or ``failed``."""
    end = "left"
    try:
        for step in script:
            if isinstance(step, asyncio.Event):
                await step.wait()
            elif isinstance(step, BaseException):
                end = "failed"
                raise step
            else:
                yield step
        end = "done"
    finally:
        ends.append(end)


class ScriptedEngine(Engine):
    """Plays its script for every request for text, and responds to any other with one response.

    ``requests`` are those that came, ``ends`` how those for text ended: ``done``, ``left`` or
    ``failed``.
    """

    def __init__(self, *script: Step, slots: int = 1, held_bytes: int = 0) -> None:
        self.script = script or GENERATION
        self.response: AnyUnaryResponse | Exception = TextResponse(text="")
        self.slots = slots
        self.held_bytes = held_bytes
        self.requests: list[GenerateRequest | AnyUnaryRequest] = []
        self.ends: list[str] = []
        self.is_closed = False

    def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        """Play the script."""
        self.requests.append(request)
        return play(self.script, self.ends)

    async def submit(self, request: AnyUnaryRequest) -> AnyUnaryResponse:
        """Return the response, or raise it where it is an error."""
        self.requests.append(request)
        if isinstance(self.response, Exception):
            raise self.response
        return self.response

    async def aclose(self) -> None:
        """Note that it is closed."""
        self.is_closed = True


class ScriptedBackend(Backend):
    """Loads the engine that it was given, for every model; everything may be asked of it."""

    name = "scripted"

    def __init__(self, engine: ScriptedEngine | None = None) -> None:
        self.engine = engine or ScriptedEngine()

    def capabilities(self, spec: ModelSpec, options: Options) -> frozenset[Capability]:  # noqa: ARG002
        """Return all there are."""
        return frozenset(Capability)

    def can_load(self, spec: ModelSpec) -> bool:  # noqa: ARG002  (any model will do)
        """Agree."""
        return True

    async def load(self, spec: ModelSpec, options: Options, host: EngineHost) -> Engine:  # noqa: ARG002
        """Return the engine."""
        return self.engine


def sound_response(request: AnyUnaryRequest) -> AnyUnaryResponse:
    """Return a small response of the kind that a unary request has."""
    match request:
        case EmbedRequest(inputs=inputs):
            return EmbedResponse(vectors=((0.6, 0.8),) * len(inputs), usage=USAGE)
        case RerankRequest(documents=documents):
            scores = tuple(1.0 / (1 + number) for number in range(len(documents)))
            return RerankResponse(scores=scores, usage=USAGE)
        case TokenizeRequest(with_pieces=with_pieces):
            return TokenizeResponse(ids=(1, 2), pieces=(b"a", b"b") if with_pieces else ())
        case DetokenizeRequest() | ApplyTemplateRequest():
            return TextResponse(text="ab")
        case _:
            assert_never(request)
