# SPDX-License-Identifier: GPL-3.0-only
import pytest

from modeld import Done, FinishReason, Token, Usage
from modeld.events import RequestFinished, RequestRefused, RequestStarted
from modeld.generation import MOST_REPEATED
from modeld.responses import (
    AnyUnaryResponse,
    EmbedResponse,
    LikelyToken,
    RerankResponse,
    TextResponse,
    TokenizeResponse,
    TokenLogprobs,
)
from modeld.serving.request_meter import MOST_GAPS, Meter, Tally
from tests.support.serving.fakes import Clock


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


def test_the_last_chunk_carries_the_whole_generation() -> None:
    meter = a_meter()
    for text in ("Hel", "lo ", "wörld"):
        meter.piece(Token(text=text))

    done = meter.done(a_done())

    assert done.content == "Hello wörld"
    assert (done.finish_reason, done.usage) == (a_done().finish_reason, a_done().usage)


def test_the_wait_for_a_load_is_told_with_what_a_request_cost() -> None:
    meter = Meter("r", Clock())
    meter.started("m", Tally(), load_s=1.5)

    assert meter.done(a_done()).usage.load_s == 1.5
    response = EmbedResponse(vectors=((1.0,),), usage=Usage(prompt_tokens=2, load_s=9))
    responded = meter.responded(response)
    assert isinstance(responded, EmbedResponse)
    assert responded.usage == Usage(prompt_tokens=2, load_s=1.5)


def test_a_generation_keeps_what_it_is_made_of_to_the_letter() -> None:
    meter = a_meter()
    meter.piece(Token(text="a\r\nb\rc\n"))

    assert meter.done(a_done()).content == "a\r\nb\rc\n"


def test_what_is_kept_of_a_long_generation_has_limits() -> None:
    clock = Clock()
    meter = a_meter(clock)
    wide = Token(text="x" * (MOST_REPEATED // MOST_GAPS))
    for _ in range(MOST_GAPS):
        meter.piece(wide)
    assert meter.done(a_done()).content == wide.text * MOST_GAPS

    for _ in range(10):
        clock.now_s += 1
        meter.piece(wide)

    assert meter.done(a_done()).content is None
    event = finished(meter)
    assert event.gaps_s == (0.0,) * (MOST_GAPS - 1) + (1.0,)
    assert event.first_token_s == 0.0


def test_no_logprobs_are_gathered_and_the_last_chunk_keeps_its_own() -> None:
    meter = a_meter()
    meter.piece(Token(text="a", logprobs=some_logprobs(1)))
    meter.piece(Token(text="b"))
    last = Done(finish_reason=FinishReason.STOP, usage=Usage(), logprobs=some_logprobs(4))

    assert meter.done(last).logprobs == some_logprobs(4)


def test_the_last_chunk_keeps_its_stop_text() -> None:
    last = Done(finish_reason=FinishReason.STOP, usage=Usage(), stop_text="!")

    assert a_meter().done(last).stop_text == "!"


def test_the_start_is_told_with_the_time_in_the_queue() -> None:
    clock = Clock()
    meter = Meter("r", clock)
    clock.now_s += 2

    assert meter.started("m", Tally()) == RequestStarted(request_id="r", model="m", queue_wait_s=2)


def test_the_end_is_told_with_the_time_in_the_queue_and_that_of_the_load() -> None:
    clock = Clock()
    meter = Meter("r", clock)
    clock.now_s += 2
    meter.started("m", Tally(), load_s=1.5)
    clock.now_s += 3

    event = finished(meter)
    assert (event.seconds, event.queue_wait_s, event.load_s) == (5.0, 2.0, 1.5)


@pytest.mark.parametrize("outcome", ["cancelled", "queue_full"])
def test_a_request_that_has_never_started_was_refused(outcome: str) -> None:
    clock = Clock()
    meter = Meter("r", clock)
    meter.outcome = outcome
    clock.now_s += 2

    assert meter.ended("m") == RequestRefused(
        request_id="r", model="m", reason=outcome, seconds=2.0
    )


@pytest.mark.parametrize(
    ("response", "tokens"),
    [
        (EmbedResponse(vectors=((1.0,),), usage=Usage(prompt_tokens=5)), 5),
        (RerankResponse(scores=(1.0,), usage=Usage(prompt_tokens=6)), 6),
        (TokenizeResponse(ids=(1,), pieces=(b"a",)), 0),
        (TextResponse(text="a"), 0),
    ],
)
def test_a_unary_request_that_was_answered_is_named_so_with_its_usage(
    response: AnyUnaryResponse, tokens: int
) -> None:
    meter = a_meter()
    assert meter.responded(response) == response

    event = finished(meter)

    assert (event.outcome, event.prompt_tokens, event.completion_tokens) == ("answered", tokens, 0)
    assert (event.first_token_s, event.gaps_s) == (None, ())


def test_times_count_from_the_arrival_and_between_tokens() -> None:
    clock = Clock()
    meter = a_meter(clock)
    clock.now_s += 2
    for gap_s in (1, 0.5, 0.25):
        clock.now_s += gap_s
        meter.piece(Token(text="x"))
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
    meter.piece(Token(text="a"))
    meter.piece(Token(text="b"))

    event = finished(meter)

    assert event.outcome == "cancelled"
    assert (event.prompt_tokens, event.completion_tokens) == (0, 2)


def test_a_request_without_a_token_has_no_first_one() -> None:
    event = finished(a_meter())

    assert event.first_token_s is None
    assert event.gaps_s == ()


def test_a_models_tally_grows_while_a_generation_runs_and_is_exact_at_its_end() -> None:
    tally, meter = Tally(), Meter("r", Clock())
    meter.started("m", tally)
    meter.piece(Token(text="two tokens in one piece"))
    meter.piece(Token(text="x"))
    assert (tally.prompt_tokens, tally.completion_tokens) == (0, 2)

    meter.done(a_done())

    assert (tally.prompt_tokens, tally.completion_tokens) == (7, 3)


def test_a_models_tally_never_falls_where_a_backend_counts_no_tokens() -> None:
    tally, meter = Tally(), Meter("r", Clock())
    meter.started("m", tally)
    meter.piece(Token(text="a"))
    meter.piece(Token(text="b"))

    meter.done(Done(finish_reason=FinishReason.STOP, usage=Usage()))

    assert tally.completion_tokens == 2


@pytest.mark.parametrize("outcome", ["cancelled", "worker_crashed"])
def test_a_models_tally_keeps_what_was_broken_off(outcome: str) -> None:
    tally, meter = Tally(), Meter("r", Clock())
    meter.started("m", tally)
    meter.piece(Token(text="a"))
    meter.outcome = outcome

    event = meter.ended("m")

    assert isinstance(event, RequestFinished)
    assert (tally.prompt_tokens, tally.completion_tokens) == (0, 1)
    assert event.completion_tokens == 1


def test_a_models_tally_has_the_tokens_of_unary_requests_too() -> None:
    tally, meter = Tally(), Meter("r", Clock())
    meter.started("m", tally)

    meter.responded(RerankResponse(scores=(0.5,), usage=Usage(prompt_tokens=4)))

    assert (tally.prompt_tokens, tally.completion_tokens) == (4, 0)


def test_nothing_is_taken_off_a_tally_where_a_backend_counts_below_zero() -> None:
    tally = Tally()
    meter = Meter("r", Clock())
    meter.started("m", tally)
    usage = Usage(prompt_tokens=-7, completion_tokens=-3)

    meter.done(Done(finish_reason=FinishReason.STOP, usage=usage))

    assert (tally.prompt_tokens, tally.completion_tokens) == (0, 0)
    event = finished(meter)
    assert (event.prompt_tokens, event.completion_tokens) == (0, 0)
