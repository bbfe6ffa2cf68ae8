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
    StepChunk,
    StepEngine,
    Token,
    Usage,
)
from modeld.errors import PromptTooLongError
from modeld.hosting.channel.credit import PATIENCE_S, WINDOW
from modeld.hosting.channel.frames import (
    Cancel,
    Cancelled,
    Close,
    Command,
    Credit,
    FrameError,
    Prepare,
    Report,
    Stepped,
    Submit,
    encode,
)
from modeld.hosting.channel.vectors import Vectors
from modeld.hosting.worker.stepping import HEARTBEAT_S, Inbox, Stepper
from modeld.interfaces import ReportProgress
from modeld.requests import (
    AnyRequest,
    AnyUnaryRequest,
    EmbedRequest,
    RerankRequest,
    TokenizeRequest,
    not_supported,
)
from modeld.responses import (
    AnyUnaryResponse,
    EmbedResponse,
    RerankResponse,
    TextResponse,
    TokenizeResponse,
)

DONE = Done(finish_reason=FinishReason.STOP, usage=Usage())
Produced = Sequence[tuple[int, StepChunk | AnyUnaryResponse]]
TOKENS = TokenizeResponse(ids=(7,), pieces=(b"hi",))
EMBEDDINGS = EmbedResponse(vectors=((0.5, 1.0),), usage=Usage())


class Scripted(StepEngine):
    """Each step does the next thing that the test has written down."""

    slots = 4
    can_pause = True

    def __init__(self, *steps: "Produced | Callable[[], Produced]") -> None:
        self.log: list[str] = []
        self._steps = list(steps)

    @classmethod
    def open(
        cls, spec: ModelSpec, options: Mapping[str, object], progress: ReportProgress
    ) -> StepEngine:
        return cls()

    def submit(self, request_id: int, request: AnyRequest) -> None:
        self.log.append(f"submit {request_id}")
        if not isinstance(request, GenerateRequest | TokenizeRequest | EmbedRequest):
            raise not_supported(request)
        if request == GenerateRequest(prompt="too long"):
            raise PromptTooLongError("9 tokens are more than 8", field="prompt")
        if request in (GenerateRequest(prompt="bug"), tokenize("bug")):
            raise ZeroDivisionError("oops")

    def step(self) -> Produced:
        self.log.append("step")
        step = self._steps.pop(0)
        return step() if callable(step) else step

    def pause(self, request_id: int) -> bool:
        self.log.append(f"pause {request_id}")
        return self.can_pause

    def resume(self, request_id: int) -> None:
        self.log.append(f"resume {request_id}")

    def cancel(self, request_id: int) -> None:
        self.log.append(f"cancel {request_id}")

    def close(self) -> None:
        self.log.append("close")


def submit(request_id: int, prompt: str = "hi") -> Submit:
    return Submit(id=request_id, request=GenerateRequest(prompt=prompt))


def tokenize(text: str) -> TokenizeRequest:
    return TokenizeRequest(text=text)


def unary(request_id: int, request: AnyUnaryRequest | None = None) -> Submit:
    return Submit(id=request_id, request=request or tokenize("hi"))


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
    """Return a step during which the parent asks for the end."""

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
    assert "ZeroDivisionError('oops'), raised at " in failed.message
    assert __file__ in failed.message
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


def test_a_unary_request_ends_with_its_response() -> None:
    engine = Scripted(((1, TOKENS),), ((1, Token(text="ghost")), (1, TOKENS)))

    sent = served(engine, unary(1), submit(2), last=((2, DONE),))

    assert sent == [Stepped(chunks=((1, TOKENS),)), Stepped(chunks=((2, DONE),))]
    assert engine.log == ["submit 1", "submit 2", "step", "step", "step"]


def test_each_response_is_a_report_of_its_own_after_what_else_the_step_has_produced() -> None:
    """Two that are as large as a frame allows may come out of one step."""
    text = Token(text="a")

    sent = served(
        Scripted(),
        unary(1),
        unary(2),
        submit(3),
        last=((1, TOKENS), (3, text), (2, TextResponse(text="b"))),
    )

    assert sent == [
        Stepped(chunks=((3, text),)),
        Stepped(chunks=((1, TOKENS),)),
        Stepped(chunks=((2, TextResponse(text="b")),)),
    ]


def test_embeddings_are_packed() -> None:
    sent = served(Scripted(), unary(1), last=((1, EMBEDDINGS),))

    assert sent == [Stepped(chunks=((1, Vectors.pack(EMBEDDINGS)),))]


def test_a_response_that_is_too_large_fails_its_unary_request_alone() -> None:
    giant = TextResponse(text="x" * 2000)

    sent = served(Scripted(), unary(1), unary(2), last=((1, giant), (2, TOKENS)))

    (failed, answered) = sent
    assert isinstance(failed, Stepped)
    ((request_id, why),) = failed.chunks
    assert request_id == 1
    assert isinstance(why, Failed)
    assert why.code == "invalid_request"
    assert "over the limit of 1000; ask for less at once" in why.message
    assert answered == Stepped(chunks=((2, TOKENS),))


@pytest.mark.parametrize("wrong", ["x" * 2000, "\ud800"])
def test_a_text_that_cannot_be_handed_over_fails_its_request_alone(wrong: str) -> None:
    sent: list[Report] = []
    inbox: Inbox = queue.SimpleQueue()
    produced = ((1, Token(text="a")), (2, Token(text=wrong)), (3, Token(text="c")), (2, DONE))

    def send(report: Report) -> None:
        encode(report)
        if len(repr(report)) > 1000:
            raise FrameError("over the limit")
        sent.append(report)

    for request_id in (1, 2, 3):
        inbox.put(submit(request_id))
    engine = Scripted(produced, closing(inbox, ((1, DONE), (3, DONE))))
    Stepper(engine, send, lambda: 0.0).run(inbox)

    chunks = chunks_of(sent)
    failed = next(chunk for number, chunk in chunks if number == 2)  # type: ignore[misc]
    assert isinstance(failed, Failed)
    assert failed.code == "internal_error"
    rest = [each for each in chunks if each[0] != 2]  # type: ignore[index]
    assert rest == [(1, Token(text="a")), (3, Token(text="c")), (1, DONE), (3, DONE)]


HALF: Any = Usage(prompt_tokens=1.5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("end", "field"),
    [
        (Done(finish_reason=FinishReason.STOP, usage=HALF), "Expected `int`, got `float`"),
        (Done(finish_reason="eos", usage=Usage()), "Invalid enum value 'eos'"),  # type: ignore[arg-type]
        (Failed(code="internal_error", message=None), "Expected `str`, got `None`"),  # type: ignore[arg-type]
    ],
)
def test_an_end_that_is_wrong_fails_its_request_alone(end: StepChunk, field: str) -> None:
    sent = served(Scripted(), submit(1), submit(2), last=((1, end), (2, DONE)))

    ((_, failed), other) = chunks_of(sent)  # type: ignore[misc]
    assert isinstance(failed, Failed)
    assert field in failed.message
    assert other == (2, DONE)


@pytest.mark.parametrize(
    "response",
    [RerankResponse(scores=(), usage=HALF), EmbedResponse(vectors=((1.0,),), usage=HALF)],
)
def test_a_response_whose_usage_is_wrong_fails_its_unary_request_alone(
    response: AnyUnaryResponse,
) -> None:
    sent = served(Scripted(), unary(1), unary(2), last=((1, response), (2, TOKENS)))

    ((_, failed), other) = chunks_of(sent)  # type: ignore[misc]
    assert isinstance(failed, Failed)
    assert "the engine's response is wrong: Expected `int`, got `float`" in failed.message
    assert other == (2, TOKENS)


@pytest.mark.parametrize(
    "vectors",
    [((0.5, 1.0), (0.5,)), ((0.5,), ()), ((),), (("a",),), (None,), 7],
)
def test_vectors_that_cannot_be_packed_fail_their_unary_request_alone(
    vectors: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    ragged = EmbedResponse(vectors=vectors, usage=Usage())

    sent = served(Scripted(), unary(1), submit(2), last=((1, ragged), (2, DONE)))

    (finished, failed) = sent
    assert finished == Stepped(chunks=((2, DONE),))
    assert isinstance(failed, Stepped)
    ((request_id, why),) = failed.chunks
    assert request_id == 1
    assert isinstance(why, Failed)
    assert why.code == "internal_error"
    assert "Traceback" in capsys.readouterr().err


def test_a_kind_of_request_that_the_engine_does_not_serve_fails_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rank = RerankRequest(query="q", documents=("d",))

    sent = served(
        Scripted(), unary(1, rank), unary(2, tokenize("bug")), unary(3), last=((3, TOKENS),)
    )

    chunks = [chunk for report in sent if isinstance(report, Stepped) for chunk in report.chunks]
    codes = {number: chunk.code for number, chunk in chunks if isinstance(chunk, Failed)}
    assert codes == {1: "not_supported", 2: "internal_error"}
    assert chunks[-1] == (3, TOKENS)
    assert "ZeroDivisionError: oops" in capsys.readouterr().err


def test_a_cancelled_unary_request_gets_no_response() -> None:
    engine = Scripted()

    sent = served(engine, unary(1), unary(2), Cancel(id=1), last=((1, TOKENS), (2, TOKENS)))

    assert sent == [Cancelled(id=1), Stepped(chunks=((2, TOKENS),))]
    assert "cancel 1" in engine.log


WIDE = Token(text="x" * WINDOW)


class Waited:
    """An inbox whose waiting is over at once; the clock shows how long it would have taken.

    With ``each_s`` so much time lies before each command.
    """

    def __init__(self, *commands: Command | None, each_s: float = 0.0) -> None:
        self.now_s = 0.0
        self._each_s = each_s
        self.left = list(commands)

    def clock(self) -> float:
        return self.now_s

    def empty(self) -> bool:
        return not self.left or self.left[0] is None or self._each_s > 0

    def get(self, timeout: float | None = None) -> Command:
        """Return the next command; ``None`` stands for as long as the caller wants to wait."""
        command = self.left.pop(0)
        self.now_s += self._each_s
        if command is None:
            assert timeout is not None, "it would wait for ever"
            self.now_s += timeout
            raise queue.Empty
        return command


def waited(
    engine: Scripted, *commands: Command | None, last: Produced, each_s: float = 0.0
) -> list[Report]:
    """As :func:`served`, where ``None`` is a time in which no command comes."""
    sent: list[Report] = []
    inbox = Waited(*commands, each_s=each_s)

    def step() -> Produced:
        inbox.left.append(Close())
        return last

    engine._steps.append(step)
    Stepper(engine, sent.append, inbox.clock).run(inbox)  # type: ignore[arg-type]
    return sent


def chunks_of(sent: Sequence[Report]) -> list[object]:
    return [each for report in sent if isinstance(report, Stepped) for each in report.chunks]


def test_a_request_whose_client_is_behind_is_paused_and_the_others_go_on() -> None:
    engine = Scripted(((1, WIDE), (2, Token(text="a"))))

    served(engine, submit(1), submit(2), last=((2, DONE),), limit=1 << 20)

    assert engine.log == ["submit 1", "submit 2", "step", "pause 1", "step"]


def test_a_paused_request_goes_on_when_its_client_has_taken_enough() -> None:
    engine = Scripted(((1, WIDE),))

    sent = waited(engine, submit(1), None, None, Credit(id=1, amount=WINDOW), last=((1, DONE),))

    beat = Stepped(chunks=())
    assert sent == [Stepped(chunks=((1, WIDE),)), beat, beat, Stepped(chunks=((1, DONE),))]
    assert engine.log == ["submit 1", "step", "pause 1", "resume 1", "step"]


def test_credits_that_come_often_and_free_too_little_keep_no_sign_of_life_back() -> None:
    small = [*[Credit(id=1, amount=1)] * 8, Credit(id=1, amount=WINDOW)]

    sent = waited(
        Scripted(((1, WIDE),)), submit(1), *small, last=((1, DONE),), each_s=HEARTBEAT_S / 2
    )

    assert sent.count(Stepped(chunks=())) == 4


def test_a_paused_request_can_be_cancelled() -> None:
    engine = Scripted(((1, WIDE),))
    late = Credit(id=1, amount=WINDOW)

    sent = waited(engine, submit(1), None, Cancel(id=1), late, submit(2), last=())

    assert sent[-1] == Cancelled(id=1)
    assert engine.log == ["submit 1", "step", "pause 1", "cancel 1", "submit 2", "step"]


def test_a_request_that_ends_as_it_gets_ahead_is_not_paused() -> None:
    engine = Scripted()

    served(engine, submit(1), last=((1, WIDE), (1, DONE)), limit=1 << 20)

    assert engine.log == ["submit 1", "step"]


def test_where_nothing_can_be_paused_all_wait_for_the_one_and_lose_nothing() -> None:
    both = ((1, WIDE), (2, WIDE))
    engine = Scripted(both, ((1, WIDE),))
    engine.can_pause = False
    credit = Credit(id=1, amount=WINDOW)

    sent = waited(engine, submit(1), submit(2), None, None, credit, last=((1, DONE), (2, DONE)))

    assert chunks_of(sent) == [*both, (1, WIDE), (1, DONE), (2, DONE)]
    assert sent.count(Stepped(chunks=())) == 2, "it says that it lives while it waits"
    paused = ["step", "pause 1", "pause 2"]
    assert engine.log == ["submit 1", "submit 2", *paused, "step", "step"]


def test_who_takes_nothing_is_ended_where_all_others_would_wait_for_it() -> None:
    engine = Scripted(((1, WIDE),), ((1, WIDE),))
    engine.can_pause = False
    beats = [None] * int(PATIENCE_S / HEARTBEAT_S)

    sent = waited(engine, submit(1), submit(2), *beats, last=((2, DONE),))

    failed = next(chunk for _id, chunk in chunks_of(sent) if isinstance(chunk, Failed))  # type: ignore[misc]
    assert failed.code == "client_too_slow"
    assert "cannot hold back one request" in failed.message
    assert sent[-1] == Stepped(chunks=((2, DONE),))
    assert engine.log[-2:] == ["cancel 1", "step"]
