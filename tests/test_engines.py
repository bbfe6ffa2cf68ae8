# SPDX-License-Identifier: GPL-3.0-only
"""What the interfaces of engines do by themselves."""

import asyncio
from collections.abc import AsyncGenerator, Mapping

import pytest

from modeld import (
    Chunk,
    Done,
    Engine,
    Failed,
    FinishReason,
    GenerateRequest,
    Message,
    ModelSpec,
    SimpleEngine,
    StepChunk,
    StepEngine,
    Token,
    Usage,
)
from modeld.errors import NotSupportedError, PromptTooLongError
from modeld.interfaces import ReportProgress
from modeld.requests import (
    AnyUnaryRequest,
    ApplyTemplateRequest,
    DetokenizeRequest,
    EmbedRequest,
    RerankRequest,
    TokenizeRequest,
)

UNARY: dict[str, AnyUnaryRequest] = {
    "embed": EmbedRequest(inputs=("a",)),
    "rerank": RerankRequest(query="a", documents=("b",)),
    "tokenize": TokenizeRequest(text="a"),
    "detokenize": DetokenizeRequest(tokens=(1,)),
    "apply_template": ApplyTemplateRequest(messages=(Message(role="user", content="a"),)),
}


class Mute(Engine):
    """Overrides no more than it must."""

    slots = 1

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        yield Done(finish_reason=FinishReason.STOP, usage=Usage())

    async def aclose(self) -> None:
        """Nothing is held."""


@pytest.mark.parametrize("kind", UNARY)
def test_an_engine_refuses_every_unary_request_by_name_unless_it_serves_it(kind: str) -> None:
    with pytest.raises(NotSupportedError, match=f"does not serve {kind} requests"):
        asyncio.run(Mute().submit(UNARY[kind]))


class Words(SimpleEngine):
    """The shortest engine there can be."""

    closed = 0

    @classmethod
    def open(
        cls, spec: ModelSpec, options: Mapping[str, object], progress: ReportProgress
    ) -> StepEngine:
        return cls()

    def generate(self, request: GenerateRequest):  # type: ignore[no-untyped-def]
        try:
            for word in (request.prompt or "").split():
                if word == "REFUSE":
                    raise PromptTooLongError("too long", field="prompt")
                yield "" if word == "EMPTY" else word
        finally:
            self.closed += 1

    def close(self) -> None:
        pass


class TestSimpleEngine:
    def steps(self, prompt: str) -> list[tuple[int, StepChunk]]:
        engine = Words()
        engine.submit(1, GenerateRequest(prompt=prompt))
        chunks: list[tuple[int, StepChunk]] = []
        while not chunks or isinstance(chunks[-1][1], Token):
            chunks += engine.step()
        assert engine.step() == ()
        return chunks

    def test_pieces_become_tokens_and_the_end_is_added(self) -> None:
        usage = Usage(completion_tokens=2)
        done = Done(finish_reason=FinishReason.STOP, usage=usage)
        assert self.steps("one two") == [(1, Token(text="one")), (1, Token(text="two")), (1, done)]

    def test_empty_pieces_are_no_tokens(self) -> None:
        assert [type(chunk) for _id, chunk in self.steps("one EMPTY")] == [Token, Done]

    def test_an_error_fails_the_request(self) -> None:
        failed = Failed(code="prompt_too_long", message="too long", field="prompt")
        assert self.steps("one REFUSE") == [(1, Token(text="one")), (1, failed)]

    def test_a_cancelled_generator_is_closed_and_the_next_request_is_taken(self) -> None:
        engine = Words()
        engine.submit(1, GenerateRequest(prompt="one two"))
        engine.step()
        engine.cancel(99)
        assert engine.closed == 0
        engine.cancel(1)
        assert engine.closed == 1
        engine.submit(2, GenerateRequest(prompt="x"))
        assert engine.step() == ((2, Token(text="x")),)

    def test_it_can_be_paused_because_nothing_is_taken_from_the_generator(self) -> None:
        engine = Words()
        engine.submit(1, GenerateRequest(prompt="one two"))
        assert not engine.pause(99)
        assert engine.pause(1)
        engine.resume(1)
        assert engine.step() == ((1, Token(text="one")),)

    def test_it_takes_one_request_at_a_time(self) -> None:
        engine = Words()
        engine.submit(1, GenerateRequest(prompt="one"))
        with pytest.raises(RuntimeError):
            engine.submit(2, GenerateRequest(prompt="two"))

    @pytest.mark.parametrize("kind", UNARY)
    def test_it_refuses_every_unary_request_by_name_and_goes_on(self, kind: str) -> None:
        engine = Words()
        with pytest.raises(NotSupportedError, match=f"does not serve {kind} requests"):
            engine.submit(1, UNARY[kind])
        engine.submit(2, GenerateRequest(prompt="one"))
        assert engine.step() == ((2, Token(text="one")),)
