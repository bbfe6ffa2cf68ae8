# SPDX-License-Identifier: GPL-3.0-only
import pytest

from modeld import Done, FinishReason, Token, Usage
from modeld.hosting.channel.credit import (
    CHUNK_COST,
    MOST_UNDER_WAY,
    PATIENCE_S,
    WINDOW,
    Flows,
    cost,
)
from modeld.hosting.channel.frames import Sent
from modeld.responses import LikelyToken, TextResponse, TokenLogprobs

LIKELY = LikelyToken(id=1, piece=b"a", logprob=-1.0)


@pytest.mark.parametrize(
    ("chunk", "expected"),
    [
        (Token(text="abc"), CHUNK_COST + 3),
        (
            Token(text="a", logprobs=(TokenLogprobs(chosen=LIKELY, top=(LIKELY,) * 20),)),
            CHUNK_COST * 22 + 1,
        ),
        (Done(finish_reason=FinishReason.STOP, usage=Usage()), 0),
        (TextResponse(text="a" * 9999), 0),
    ],
)
def test_a_chunk_costs_what_it_holds_in_memory(chunk: Sent, expected: int) -> None:
    assert cost(chunk) == expected


def test_a_request_is_full_once_when_its_window_is_used_up() -> None:
    flows = Flows()
    flows.begin(1)

    assert not flows.produced(1, WINDOW - 1, 0.0)
    assert flows.produced(1, 1, 0.0)
    assert not flows.produced(1, 1, 0.0)
    assert flows.may_step, "nobody has said that it is held back"


def test_a_paused_request_goes_on_when_half_its_window_is_free() -> None:
    flows = Flows()
    flows.begin(1)
    flows.produced(1, WINDOW, 0.0)
    flows.pause(1)

    assert not flows.credited(1, WINDOW // 2 - 1, 0.0)
    assert flows.credited(1, 1, 0.0)
    assert not flows.credited(1, 1, 0.0), "it goes on already"


def test_others_go_on_beside_paused_ones() -> None:
    flows = Flows()
    for request_id in (1, 2):
        flows.begin(request_id)
    flows.produced(1, 100 * WINDOW, 0.0)
    flows.pause(1)
    assert flows.may_step

    flows.produced(2, WINDOW, 0.0)
    flows.pause(2)
    assert not flows.may_step

    flows.end(2)
    assert not flows.may_step
    flows.end(1)
    assert not flows.running
    assert not flows.may_step


def test_what_cannot_be_paused_blocks_all_when_twice_its_window_is_under_way() -> None:
    flows = Flows()
    for request_id in (1, 2):
        flows.begin(request_id)
    flows.produced(1, MOST_UNDER_WAY - 1, 0.0)
    assert flows.may_step
    flows.produced(1, 1, 0.0)
    assert not flows.may_step

    assert not flows.credited(1, 1, 0.0)
    assert flows.may_step


def test_what_blocks_all_is_hopeless_when_nothing_is_taken_of_it() -> None:
    flows = Flows()
    for request_id in (1, 2, 3):
        flows.begin(request_id)
        flows.produced(request_id, MOST_UNDER_WAY + 100, 0.0)
    flows.credited(2, 1, 1.0)
    flows.end(3)

    assert list(flows.hopeless(PATIENCE_S - 0.1)) == []
    assert list(flows.hopeless(PATIENCE_S)) == [1]
    assert list(flows.hopeless(PATIENCE_S + 1.0)) == [1, 2]


def test_what_is_credited_late_changes_nothing() -> None:
    flows = Flows()

    assert not flows.credited(7, 1, 0.0)
    flows.end(7)
    assert 7 not in flows.running
