# SPDX-License-Identifier: GPL-3.0-only
"""The loop that runs an engine, with nothing but an inbox and a list around it."""

import queue
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

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
from modeld.errors import PromptTooLongError
from modeld.hosting.frames import (
    Ask,
    Cancel,
    Cancelled,
    Close,
    Command,
    FrameError,
    Prepare,
    Report,
    Stepped,
    Submit,
)
from modeld.hosting.stepping import HEARTBEAT_S, Inbox, Stepper
from modeld.hosting.vectors import Vectors
from modeld.interfaces import ReportProgress
from modeld.questions import (
    AnyQuestion,
    Embeddings,
    EmbedQuestion,
    Reply,
    RerankQuestion,
    Text,
    TokenizeQuestion,
    Tokens,
)

DONE = Done(finish_reason=FinishReason.STOP, usage=Usage())
Produced = Sequence[tuple[int, StepChunk | Reply]]
TOKENS = Tokens(ids=(7,), pieces=(b"hi",))
EMBEDDINGS = Embeddings(vectors=((0.5, 1.0),), usage=Usage())


class Scripted(StepEngine):
    """Each step does the next thing that the test has written down."""

    slots = 4

    def __init__(self, *steps: "Produced | Callable[[], Produced]") -> None:
        self.log: list[str] = []
        self._steps = list(steps)

    @classmethod
    def open(
        cls, spec: ModelSpec, options: Mapping[str, object], progress: ReportProgress
    ) -> StepEngine:
        return cls()

    def submit(self, request_id: int, request: GenerateRequest) -> None:
        self.log.append(f"submit {request_id}")
        if request.prompt == "too long":
            raise PromptTooLongError("9 tokens are more than 8", field="prompt")
        if request.prompt == "bug":
            raise ZeroDivisionError("oops")

    def ask(self, request_id: int, question: AnyQuestion) -> None:
        self.log.append(f"ask {request_id}")
        if not isinstance(question, TokenizeQuestion | EmbedQuestion):
            super().ask(request_id, question)
        if question == tokenize("bug"):
            raise ZeroDivisionError("oops")

    def step(self) -> Produced:
        self.log.append("step")
        step = self._steps.pop(0)
        return step() if callable(step) else step

    def cancel(self, request_id: int) -> None:
        self.log.append(f"cancel {request_id}")

    def close(self) -> None:
        self.log.append("close")


def submit(request_id: int, prompt: str = "hi") -> Submit:
    return Submit(id=request_id, request=GenerateRequest(prompt=prompt))


def tokenize(text: str) -> TokenizeQuestion:
    return TokenizeQuestion(text=text)


def ask(request_id: int, question: AnyQuestion | None = None) -> Ask:
    return Ask(id=request_id, question=question or tokenize("hi"))


def run(
    engine: StepEngine, *commands: Command, clock: Callable[[], float] = lambda: 0.0
) -> tuple[list[Report], Inbox]:
    sent: list[Report] = []
    inbox: Inbox = queue.SimpleQueue()
    for command in commands:
        inbox.put(command)
    Stepper(engine, sent.append, clock).run(inbox)
    return sent, inbox


def closing(inbox: Inbox, produced: Produced) -> Callable[[], Produced]:
    """A step during which the parent asks for the end."""

    def step() -> Produced:
        inbox.put(Close())
        return produced

    return step


def served(engine: Scripted, *commands: Command, last: Produced, limit: int = 1000) -> list[Report]:
    """Run ``commands``; in the last step ``last`` is produced and the parent closes.

    A report of more than ``limit`` characters is too large for the channel.
    """
    sent: list[Report] = []

    def send(report: Report) -> None:
        if len(repr(report)) > limit:
            raise FrameError(f"over the limit of {limit}")
        sent.append(report)

    inbox: Inbox = queue.SimpleQueue()
    for command in commands:
        inbox.put(command)
    engine._steps.append(closing(inbox, last))
    Stepper(engine, send, lambda: 0.0).run(inbox)
    return sent


def test_what_one_step_produces_for_all_requests_is_one_report() -> None:
    engine = Scripted()
    produced = ((1, Token(text="a")), (2, Token(text="b")), (1, Token(text="c")))

    sent = served(engine, submit(1), submit(2), last=produced)

    assert sent == [Stepped(chunks=produced)]
    assert engine.log == ["submit 1", "submit 2", "step"]


def test_all_waiting_commands_are_taken_before_the_next_step() -> None:
    engine = Scripted()

    served(engine, submit(1), submit(2), Cancel(id=1), submit(3), last=())

    assert engine.log == ["submit 1", "submit 2", "cancel 1", "submit 3", "step"]


def test_a_request_that_has_ended_is_stepped_no_longer() -> None:
    engine = Scripted(((1, DONE),))
    inbox: Inbox = queue.SimpleQueue()
    inbox.put(submit(1))
    sent: list[Report] = []

    def send(report: Report) -> None:
        sent.append(report)
        inbox.put(Close())

    Stepper(engine, send, lambda: 0.0).run(inbox)

    assert sent == [Stepped(chunks=((1, DONE),))]
    assert engine.log == ["submit 1", "step"], "with nothing to do it waits for a command"


@pytest.mark.parametrize("last", [DONE, Failed(code="internal_error", message="no")])
def test_nothing_follows_the_end_of_a_request(last: StepChunk) -> None:
    engine = Scripted(((1, last), (1, Token(text="ghost"))), ((1, Token(text="ghost")),))

    sent = served(engine, submit(1), submit(2), last=((2, Token(text="b")),))

    assert sent == [Stepped(chunks=((1, last),)), Stepped(chunks=((2, Token(text="b")),))]


def test_chunks_of_unknown_and_of_cancelled_requests_are_dropped() -> None:
    engine = Scripted()

    sent = served(
        engine,
        submit(1),
        submit(2),
        Cancel(id=2),
        last=((1, Token(text="a")), (2, Token(text="b")), (99, Token(text="c"))),
    )

    assert sent == [Cancelled(id=2), Stepped(chunks=((1, Token(text="a")),))]


def test_a_cancellation_is_answered_even_if_the_request_had_ended_or_never_was() -> None:
    engine = Scripted()

    sent, _inbox = run(engine, Cancel(id=7), Close())

    assert sent == [Cancelled(id=7)]
    assert engine.log == [], "the engine is not bothered with what it does not know"


def test_the_slot_of_a_cancelled_request_is_free_before_the_next_is_submitted() -> None:
    engine = Scripted()

    served(engine, submit(1), Cancel(id=1), submit(2), last=((2, DONE),))

    assert engine.log.index("cancel 1") < engine.log.index("submit 2")


def test_a_request_that_the_engine_refuses_fails_alone() -> None:
    engine = Scripted()

    sent = served(engine, submit(1), submit(2, "too long"), last=((1, DONE),))

    failed = Failed(code="prompt_too_long", message="9 tokens are more than 8", field="prompt")
    assert sent == [Stepped(chunks=((2, failed),)), Stepped(chunks=((1, DONE),))]


def test_an_engine_that_stumbles_over_a_request_fails_that_request_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    engine = Scripted()

    sent = served(engine, submit(1), submit(2, "bug"), last=((1, DONE),))

    (refused, finished) = sent
    assert isinstance(refused, Stepped)
    ((request_id, failed),) = refused.chunks
    assert request_id == 2
    assert isinstance(failed, Failed)
    assert failed.code == "internal_error"
    assert finished == Stepped(chunks=((1, DONE),))
    assert "ZeroDivisionError: oops" in capsys.readouterr().err


@pytest.mark.parametrize("error", [ZeroDivisionError("oops"), MemoryError(), SystemExit(3)])
def test_an_engine_that_fails_between_its_requests_ends_the_loop(error: BaseException) -> None:
    def fail() -> Produced:
        raise error

    with pytest.raises(type(error)):
        run(Scripted(fail), submit(1))


def test_a_command_that_makes_no_sense_now_ends_the_loop() -> None:
    with pytest.raises(RuntimeError, match="is not for a loaded engine"):
        run(Scripted(), Prepare(imports=()))


def test_steps_that_produce_nothing_are_reported_now_and_then_as_a_sign_of_life() -> None:
    now_s = 0.0

    def clock() -> float:
        return now_s

    sent: list[Report] = []
    inbox: Inbox = queue.SimpleQueue()
    inbox.put(submit(1))

    def nothing() -> Produced:
        nonlocal now_s
        now_s += HEARTBEAT_S / 4
        return ()

    engine = Scripted(*[nothing] * 40, closing(inbox, ()))
    Stepper(engine, sent.append, clock).run(inbox)

    assert sent == [Stepped(chunks=())] * 10


def test_what_is_asked_after_the_end_is_not_done() -> None:
    engine = Scripted()

    _sent, inbox = run(engine, Close(), submit(1))

    assert engine.log == []
    assert inbox.empty()


def test_a_question_ends_with_its_reply() -> None:
    engine = Scripted(((1, TOKENS),), ((1, Token(text="ghost")), (1, TOKENS)))

    sent = served(engine, ask(1), submit(2), last=((2, DONE),))

    assert sent == [Stepped(chunks=((1, TOKENS),)), Stepped(chunks=((2, DONE),))]
    assert engine.log == ["ask 1", "submit 2", "step", "step", "step"]


def test_each_reply_is_a_report_of_its_own_after_what_else_the_step_has_produced() -> None:
    """Two that are as large as a frame allows may come out of one step."""
    text = Token(text="a")

    sent = served(
        Scripted(), ask(1), ask(2), submit(3), last=((1, TOKENS), (3, text), (2, Text(text="b")))
    )

    assert sent == [
        Stepped(chunks=((3, text),)),
        Stepped(chunks=((1, TOKENS),)),
        Stepped(chunks=((2, Text(text="b")),)),
    ]


def test_embeddings_are_packed() -> None:
    sent = served(Scripted(), ask(1), last=((1, EMBEDDINGS),))

    assert sent == [Stepped(chunks=((1, Vectors.pack(EMBEDDINGS)),))]


def test_a_reply_that_is_too_large_fails_its_question_alone() -> None:
    giant = Text(text="x" * 2000)

    sent = served(Scripted(), ask(1), ask(2), last=((1, giant), (2, TOKENS)))

    (failed, answered) = sent
    assert isinstance(failed, Stepped)
    ((request_id, why),) = failed.chunks
    assert request_id == 1
    assert isinstance(why, Failed)
    assert why.code == "invalid_request"
    assert "over the limit of 1000; ask for less at once" in why.message
    assert answered == Stepped(chunks=((2, TOKENS),))


@pytest.mark.parametrize(
    "vectors",
    [((0.5, 1.0), (0.5,)), ((0.5,), ()), ((),), (("a",),), (None,), 7],
)
def test_vectors_that_cannot_be_packed_fail_their_question_alone(
    vectors: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    ragged = Embeddings(vectors=vectors, usage=Usage())

    sent = served(Scripted(), ask(1), submit(2), last=((1, ragged), (2, DONE)))

    (finished, failed) = sent
    assert finished == Stepped(chunks=((2, DONE),))
    assert isinstance(failed, Stepped)
    ((request_id, why),) = failed.chunks
    assert request_id == 1
    assert isinstance(why, Failed)
    assert why.code == "internal_error"
    assert "Traceback" in capsys.readouterr().err


def test_a_question_that_the_engine_does_not_answer_fails_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rank = RerankQuestion(query="q", documents=("d",))

    sent = served(Scripted(), ask(1, rank), ask(2, tokenize("bug")), ask(3), last=((3, TOKENS),))

    chunks = [chunk for report in sent if isinstance(report, Stepped) for chunk in report.chunks]
    codes = {number: chunk.code for number, chunk in chunks if isinstance(chunk, Failed)}
    assert codes == {1: "not_supported", 2: "internal_error"}
    assert chunks[-1] == (3, TOKENS)
    assert "ZeroDivisionError: oops" in capsys.readouterr().err


def test_a_cancelled_question_gets_no_reply() -> None:
    engine = Scripted()

    sent = served(engine, ask(1), ask(2), Cancel(id=1), last=((1, TOKENS), (2, TOKENS)))

    assert sent == [Cancelled(id=1), Stepped(chunks=((2, TOKENS),))]
    assert "cancel 1" in engine.log


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

    def test_it_takes_one_request_at_a_time(self) -> None:
        engine = Words()
        engine.submit(1, GenerateRequest(prompt="one"))
        with pytest.raises(RuntimeError):
            engine.submit(2, GenerateRequest(prompt="two"))
