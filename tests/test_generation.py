# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import pytest

from modeld.generation import Whole
from modeld.messages import ToolCall
from modeld.responses import Piece, ReasoningToken, Token, ToolCallDelta


def whole(*pieces: Piece, most: int = 100) -> Whole:
    gathered = Whole(most)
    for piece in pieces:
        gathered.add(piece)
    return gathered


def test_all_that_the_pieces_had_is_gathered() -> None:
    gathered = whole(
        ReasoningToken(text="h"),
        ReasoningToken(text="m"),
        Token(text="a"),
        ToolCallDelta(index=1, id="2", name="g", arguments="{}"),
        ToolCallDelta(index=0, id="1", name="f", arguments="{"),
        ToolCallDelta(index=0, arguments="}"),
        Token(text="b"),
    )
    assert gathered.content == "ab"
    assert gathered.reasoning == "hm"
    assert gathered.tool_calls == (
        ToolCall(id="1", name="f", arguments="{}"),
        ToolCall(id="2", name="g", arguments="{}"),
    )


@pytest.mark.parametrize(
    "last", [Token(text="x"), ReasoningToken(text="x"), ToolCallDelta(index=0, arguments="x")]
)
def test_what_is_too_long_is_gathered_no_longer(last: Piece) -> None:
    gathered = whole(Token(text="x" * 100))
    assert gathered.content == "x" * 100
    gathered.add(last)
    gathered.add(Token(text="y"))
    assert (gathered.content, gathered.reasoning, gathered.tool_calls) == (None, None, None)


def test_calls_without_arguments_come_to_an_end_too() -> None:
    gathered = whole(*(ToolCallDelta(index=number) for number in range(101)))
    assert gathered.is_too_long
