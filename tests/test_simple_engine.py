# SPDX-License-Identifier: GPL-3.0-only
"""The easy base for engines: what it does by itself with what a generator yields."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from modeld import (
    Done,
    Failed,
    FinishReason,
    GenerateRequest,
    ModelSpec,
    SimpleEngine,
    StepChunk,
    StepEngine,
    Token,
    Usage,
)
from modeld.errors import NotSupportedError, PromptTooLongError
from modeld.interfaces import ReportProgress
from modeld.requests import AnyUnaryRequest, EmbedRequest, TokenizeRequest
from modeld.responses import LikelyToken, Piece, ReasoningToken, TokenLogprobs


class Scripted(SimpleEngine):
    """Yields what it was given, and raises what is an error."""

    def __init__(self, *pieces: Piece | Done | str | Exception) -> None:
        self.pieces = pieces
        self.taken = 0
        self.closed = 0

    @classmethod
    def open(
        cls, spec: ModelSpec, options: Mapping[str, object], progress: ReportProgress
    ) -> StepEngine:
        return cls()

    def generate(self, request: GenerateRequest) -> Iterator[Piece | Done | str]:
        self.prompt_tokens = len(request.prompt or "")
        try:
            for piece in self.pieces:
                if isinstance(piece, Exception):
                    raise piece
                self.taken += 1
                yield piece
        finally:
            self.closed += 1


def run(engine: SimpleEngine, request: GenerateRequest | None = None) -> list[StepChunk]:
    """Return all that comes of one request."""
    engine.submit(1, request or GenerateRequest())
    chunks: list[StepChunk] = []
    while not chunks or not isinstance(chunks[-1], Done | Failed):
        for request_id, chunk in engine.step():
            assert request_id == 1
            assert isinstance(chunk, StepChunk)
            chunks.append(chunk)
    assert engine.step() == ()
    return chunks


def text_of(chunks: Iterable[StepChunk]) -> str:
    return "".join(chunk.text for chunk in chunks if isinstance(chunk, Token))


def texts_of(chunks: Iterable[StepChunk]) -> list[str]:
    return [chunk.text for chunk in chunks if isinstance(chunk, Token)]


def end(reason: FinishReason, tokens: int, prompt_tokens: int = 0) -> Done:
    usage = Usage(prompt_tokens=prompt_tokens, completion_tokens=tokens)
    return Done(finish_reason=reason, usage=usage)


def test_pieces_become_tokens_and_the_end_is_added() -> None:
    done = end(FinishReason.STOP, 2)
    assert run(Scripted("one", Token(text="two"))) == [Token(text="one"), Token(text="two"), done]


def test_empty_pieces_are_no_chunks_but_count() -> None:
    assert run(Scripted("one", "")) == [Token(text="one"), end(FinishReason.STOP, 2)]


def test_an_error_fails_the_request_and_the_next_is_taken() -> None:
    engine = Scripted("one", PromptTooLongError("too long", field="prompt"))
    failed = Failed(code="prompt_too_long", message="too long", field="prompt")
    assert run(engine) == [Token(text="one"), failed]
    assert run(engine)[-1] == failed


def test_the_prompt_is_counted_where_the_generator_says_how_long_it_is() -> None:
    engine = Scripted("one")
    assert run(engine, GenerateRequest(prompt="four"))[-1] == end(FinishReason.STOP, 1, 4)
    own = end(FinishReason.STOP, 1, 9)
    assert run(Scripted(own), GenerateRequest(prompt="four")) == [own]


def test_a_cancelled_generator_is_closed_and_the_next_request_is_taken() -> None:
    engine = Scripted("one", "two")
    engine.submit(1, GenerateRequest())
    engine.step()
    engine.cancel(99)
    assert engine.closed == 0
    engine.cancel(1)
    assert engine.closed == 1
    engine.submit(2, GenerateRequest())
    assert engine.step() == ((2, Token(text="one")),)


def test_it_can_be_paused_because_nothing_is_taken_from_the_generator() -> None:
    engine = Scripted("one", "two")
    engine.submit(1, GenerateRequest())
    assert not engine.pause(99)
    assert engine.pause(1)
    engine.resume(1)
    assert engine.step() == ((1, Token(text="one")),)


def test_it_takes_one_request_at_a_time() -> None:
    engine = Scripted("one")
    engine.submit(1, GenerateRequest())
    with pytest.raises(RuntimeError):
        engine.submit(2, GenerateRequest())


@pytest.mark.parametrize("request_", [EmbedRequest(inputs=("a",)), TokenizeRequest(text="a")])
def test_it_refuses_every_unary_request_by_name_and_goes_on(request_: AnyUnaryRequest) -> None:
    engine = Scripted("one")
    with pytest.raises(NotSupportedError, match=r"does not serve [a-z_]+ requests"):
        engine.submit(1, request_)
    assert run(engine)[0] == Token(text="one")


def test_no_more_is_generated_than_the_request_allows() -> None:
    engine = Scripted("one", "", "three", "four", "five")
    assert run(engine, GenerateRequest(max_tokens=3)) == [
        Token(text="one"),
        Token(text="three"),
        end(FinishReason.LENGTH, 3),
    ]
    assert (engine.taken, engine.closed) == (3, 1)


@pytest.mark.parametrize("most", [3, None])
def test_a_generator_that_ends_before_that_has_ended_by_itself(most: int | None) -> None:
    chunks = run(Scripted("one", "two"), GenerateRequest(max_tokens=most))
    assert chunks[-1] == end(FinishReason.STOP, 2)


@pytest.mark.parametrize(
    "pieces", [("one STOP two",), ("one ST", "OP two"), tuple("one STOP two"), ("one STOP",)]
)
def test_a_stop_text_ends_the_generation_in_however_many_pieces_it_comes(
    pieces: Sequence[str],
) -> None:
    engine = Scripted(*pieces)
    chunks = run(engine, GenerateRequest(stop=("nothing", "STOP")))
    assert text_of(chunks) == "one "
    assert isinstance(chunks[-1], Done)
    assert chunks[-1].finish_reason is FinishReason.STOP
    assert (chunks[-1].usage.completion_tokens, engine.closed) == (engine.taken, 1)


def test_only_what_may_begin_a_stop_text_is_kept_back() -> None:
    chunks = run(Scripted("a S", "T", "E", "P"), GenerateRequest(stop=("STOP",)))
    assert texts_of(chunks) == ["a ", "STE", "P"]


@pytest.mark.parametrize(
    ("pieces", "request_", "reason"),
    [
        (("one ST",), GenerateRequest(stop=("STOP",)), FinishReason.STOP),
        (("one ST", end(FinishReason.STOP, 1)), GenerateRequest(stop=("STOP",)), FinishReason.STOP),
        (("one ST", "OP"), GenerateRequest(stop=("STOP",), max_tokens=1), FinishReason.LENGTH),
    ],
)
def test_what_was_kept_back_comes_before_the_end(
    pieces: Sequence[Piece | Done | str], request_: GenerateRequest, reason: FinishReason
) -> None:
    assert run(Scripted(*pieces), request_) == [
        Token(text="one "),
        Token(text="ST"),
        end(reason, 1),
    ]


def test_a_stop_text_that_is_complete_with_the_last_token_ends_it() -> None:
    chunks = run(Scripted("one", "STOP"), GenerateRequest(stop=("STOP",), max_tokens=2))
    assert chunks == [Token(text="one"), replace(end(FinishReason.STOP, 2), stop_text="STOP")]


def test_reasoning_is_passed_on_and_has_no_stop_texts() -> None:
    engine = Scripted("S", ReasoningToken(text="TOP"), "TOP")
    assert run(engine, GenerateRequest(stop=("STOP",))) == [
        Token(text="S"),
        ReasoningToken(text="TOP"),
        Token(text="TOP"),
        end(FinishReason.STOP, 3),
    ]


def logprobs(number: int) -> TokenLogprobs:
    return TokenLogprobs(chosen=LikelyToken(id=number, piece=b"x", logprob=-1.0))


def test_probabilities_of_what_is_kept_back_come_with_the_next_text_or_the_end() -> None:
    pieces = [Token(text=text, logprobs=(logprobs(at),)) for at, text in enumerate("aSxST")]
    *tokens, done = run(Scripted(*pieces), GenerateRequest(stop=("ST",)))
    assert tokens == [
        Token(text="a", logprobs=(logprobs(0),)),
        Token(text="Sx", logprobs=(logprobs(1), logprobs(2))),
    ]
    assert isinstance(done, Done)
    assert done.logprobs == (logprobs(3), logprobs(4))


def until_stopped(text: str, stops: Sequence[str]) -> str:
    """Return what is before the stop text that is complete first."""
    for length in range(len(text) + 1):
        ends = [stop for stop in stops if text[:length].endswith(stop)]
        if ends:
            return text[: length - max(map(len, ends))]
    return text


@given(
    st.lists(st.text("ab", max_size=5), max_size=8),
    st.lists(st.text("ab", min_size=1, max_size=4), max_size=3),
)
def test_however_a_text_is_cut_it_ends_where_a_stop_text_is_first_complete(
    pieces: list[str], stops: list[str]
) -> None:
    chunks = run(Scripted(*pieces), GenerateRequest(stop=tuple(stops)))
    assert text_of(chunks) == until_stopped("".join(pieces), stops)
    assert isinstance(chunks[-1], Done)
    assert chunks[-1].finish_reason is FinishReason.STOP
