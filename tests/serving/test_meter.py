# SPDX-License-Identifier: GPL-3.0-only
import pytest

from modeld import Done, FinishReason, Token, Usage
from modeld.serving.meter import Meter
from tests.serving.fakes import Clock


def a_done(reason: FinishReason = FinishReason.STOP) -> Done:
    usage = Usage(prompt_tokens=7, completion_tokens=3, cached_tokens=2)
    return Done(finish_reason=reason, usage=usage)


def test_the_last_chunk_carries_the_whole_answer() -> None:
    meter = Meter("r", "m", Clock())
    for text in ("Hel", "lo ", "wörld"):
        meter.token(Token(text=text))

    done = meter.done(a_done())

    assert done.content == "Hello wörld"
    assert (done.finish_reason, done.usage) == (a_done().finish_reason, a_done().usage)


def test_times_count_from_the_arrival_and_between_tokens() -> None:
    clock = Clock()
    meter = Meter("r", "m", clock)
    clock.now_s += 2
    assert meter.waited_s == 2
    for gap_s in (1, 0.5, 0.25):
        clock.now_s += gap_s
        meter.token(Token(text="x"))
    clock.now_s += 4
    meter.done(a_done())

    event = meter.finished()

    assert (event.request_id, event.model) == ("r", "m")
    assert event.first_token_s == 3
    assert event.gaps_s == (0.5, 0.25)
    assert event.seconds == 7.75
    assert (event.prompt_tokens, event.completion_tokens) == (7, 3)


@pytest.mark.parametrize("reason", FinishReason)
def test_a_good_end_is_named_by_its_reason(reason: FinishReason) -> None:
    meter = Meter("r", "m", Clock())
    meter.done(a_done(reason))

    assert meter.finished().outcome == reason.value


def test_without_an_end_a_request_was_cancelled_and_its_tokens_are_counted_as_they_came() -> None:
    meter = Meter("r", "m", Clock())
    meter.token(Token(text="a"))
    meter.token(Token(text="b"))

    event = meter.finished()

    assert event.outcome == "cancelled"
    assert (event.prompt_tokens, event.completion_tokens) == (0, 2)


def test_a_request_without_a_token_has_no_first_one() -> None:
    event = Meter("r", "m", Clock()).finished()

    assert event.first_token_s is None
    assert event.gaps_s == ()
