# SPDX-License-Identifier: GPL-3.0-only
import pytest

from modeld import Done, FinishReason, Token, Usage
from modeld.events import RequestFinished, RequestRefused, RequestStarted
from modeld.questions import Embeddings, Ranking, Reply, Text, Tokens
from modeld.serving.meter import Meter, Tally
from modeld.values import LikelyToken, TokenLogprobs
from tests.serving.fakes import Clock


def a_done(reason: FinishReason = FinishReason.STOP) -> Done:
    usage = Usage(prompt_tokens=7, completion_tokens=3, cached_tokens=2)
    return Done(finish_reason=reason, usage=usage)


def a_meter(clock: Clock | None = None) -> Meter:
    """Of a request that has started."""
    meter = Meter("r", clock or Clock())
    meter.started("m", Tally())
    return meter


def finished(meter: Meter) -> RequestFinished:
    event = meter.ended("asked for")
    assert isinstance(event, RequestFinished)
    return event


def some_logprobs(*ids: int) -> tuple[TokenLogprobs, ...]:
    return tuple(
        TokenLogprobs(chosen=LikelyToken(id=token, piece=b"x", logprob=-1.0)) for token in ids
    )


def test_the_last_chunk_carries_the_whole_answer() -> None:
    meter = a_meter()
    for text in ("Hel", "lo ", "wörld"):
        meter.token(Token(text=text))

    done = meter.done(a_done())

    assert done.content == "Hello wörld"
    assert (done.finish_reason, done.usage) == (a_done().finish_reason, a_done().usage)


def test_no_logprobs_are_gathered_and_the_last_chunk_keeps_its_own() -> None:
    meter = a_meter()
    meter.token(Token(text="a", logprobs=some_logprobs(1)))
    meter.token(Token(text="b"))
    last = Done(finish_reason=FinishReason.STOP, usage=Usage(), logprobs=some_logprobs(4))

    assert meter.done(last).logprobs == some_logprobs(4)


def test_the_start_is_told_with_the_time_in_line() -> None:
    clock = Clock()
    meter = Meter("r", clock)
    clock.now_s += 2

    assert meter.started("m", Tally()) == RequestStarted(request_id="r", model="m", queue_wait_s=2)


@pytest.mark.parametrize("outcome", ["cancelled", "queue_full"])
def test_a_request_that_has_never_started_was_refused(outcome: str) -> None:
    meter = Meter("r", Clock())
    meter.outcome = outcome

    assert meter.ended("m") == RequestRefused(request_id="r", model="m", reason=outcome)


@pytest.mark.parametrize(
    ("reply", "tokens"),
    [
        (Embeddings(vectors=((1.0,),), usage=Usage(prompt_tokens=5)), 5),
        (Ranking(scores=(1.0,), usage=Usage(prompt_tokens=6)), 6),
        (Tokens(ids=(1,), pieces=(b"a",)), 0),
        (Text(text="a"), 0),
    ],
)
def test_a_question_that_was_answered_is_named_so_with_its_usage(reply: Reply, tokens: int) -> None:
    meter = a_meter()
    assert meter.replied(reply) is reply

    event = finished(meter)

    assert (event.outcome, event.prompt_tokens, event.completion_tokens) == ("answered", tokens, 0)
    assert (event.first_token_s, event.gaps_s) == (None, ())


def test_times_count_from_the_arrival_and_between_tokens() -> None:
    clock = Clock()
    meter = a_meter(clock)
    clock.now_s += 2
    for gap_s in (1, 0.5, 0.25):
        clock.now_s += gap_s
        meter.token(Token(text="x"))
    clock.now_s += 4
    meter.done(a_done())

    event = finished(meter)

    assert (event.request_id, event.model) == ("r", "m")
    assert event.first_token_s == 3
    assert event.gaps_s == (0.5, 0.25)
    assert event.seconds == 7.75
    assert (event.prompt_tokens, event.completion_tokens) == (7, 3)


@pytest.mark.parametrize("reason", FinishReason)
def test_a_good_end_is_named_by_its_reason(reason: FinishReason) -> None:
    meter = a_meter()
    meter.done(a_done(reason))

    assert finished(meter).outcome == reason.value


def test_without_an_end_a_request_was_cancelled_and_its_tokens_are_counted_as_they_came() -> None:
    meter = a_meter()
    meter.token(Token(text="a"))
    meter.token(Token(text="b"))

    event = finished(meter)

    assert event.outcome == "cancelled"
    assert (event.prompt_tokens, event.completion_tokens) == (0, 2)


def test_a_request_without_a_token_has_no_first_one() -> None:
    event = finished(a_meter())

    assert event.first_token_s is None
    assert event.gaps_s == ()


def test_a_models_tally_grows_while_an_answer_runs_and_is_exact_at_its_end() -> None:
    tally, meter = Tally(), Meter("r", Clock())
    meter.started("m", tally)
    meter.token(Token(text="two tokens in one piece"))
    meter.token(Token(text="x"))
    assert (tally.prompt_tokens, tally.completion_tokens) == (0, 2)

    meter.done(a_done())

    assert (tally.prompt_tokens, tally.completion_tokens) == (7, 3)


def test_a_models_tally_never_falls_where_a_backend_counts_no_tokens() -> None:
    tally, meter = Tally(), Meter("r", Clock())
    meter.started("m", tally)
    meter.token(Token(text="a"))
    meter.token(Token(text="b"))

    meter.done(Done(finish_reason=FinishReason.STOP, usage=Usage()))

    assert tally.completion_tokens == 2


@pytest.mark.parametrize("outcome", ["cancelled", "worker_crashed"])
def test_a_models_tally_keeps_what_was_broken_off(outcome: str) -> None:
    tally, meter = Tally(), Meter("r", Clock())
    meter.started("m", tally)
    meter.token(Token(text="a"))
    meter.outcome = outcome

    event = meter.ended("m")

    assert isinstance(event, RequestFinished)
    assert (tally.prompt_tokens, tally.completion_tokens) == (0, 1)
    assert event.completion_tokens == 1


def test_a_models_tally_has_the_tokens_of_questions_too() -> None:
    tally, meter = Tally(), Meter("r", Clock())
    meter.started("m", tally)

    meter.replied(Ranking(scores=(0.5,), usage=Usage(prompt_tokens=4)))

    assert (tally.prompt_tokens, tally.completion_tokens) == (4, 0)
