# SPDX-License-Identifier: GPL-3.0-only
"""Generations with every text that may end a line for some reader, and streams as readers cut them.

Each dialect holds its encoders to it: whoever cuts by Python's ``str.splitlines``, by line feeds or
by the rules of server-sent events gets the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from modeld.dialects import Call, StreamEncoder
from modeld.errors import LoadFailedError, ModeldError
from modeld.messages import ToolCall
from modeld.responses import (
    Done,
    FinishReason,
    LikelyToken,
    Piece,
    ReasoningToken,
    Token,
    TokenLogprobs,
    ToolCallDelta,
    Usage,
)
from tests.support.http.fake_service import FakeService

LINE_ENDS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
"""What ends a line for ``str.splitlines``; all that may end one in an event stream is among it."""

TEXTS = st.text(f'{LINE_ENDS}\\"aé🦙\0\x7f\ufeff', max_size=8)

_LIKELY = st.builds(
    LikelyToken,
    id=st.integers(0, 9),
    piece=TEXTS.map(str.encode),
    logprob=st.floats(-9.0, 0.0),
)
LOGPROBS = st.lists(
    st.builds(TokenLogprobs, chosen=_LIKELY, top=st.lists(_LIKELY, max_size=2).map(tuple)),
    max_size=2,
).map(tuple)

_ARGUMENTS = st.builds(
    lambda name, value: json.dumps({name: value}, ensure_ascii=False), TEXTS, TEXTS
)
_CALLS = st.builds(ToolCall, id=TEXTS, name=TEXTS.filter(bool), arguments=_ARGUMENTS)
_SAID: st.SearchStrategy[Piece] = st.builds(Token, text=TEXTS, logprobs=LOGPROBS) | st.builds(
    ReasoningToken, text=TEXTS, logprobs=LOGPROBS
)


@st.composite
def generations(draw: st.DrawFn) -> tuple[list[Piece], Done]:
    """Return the pieces of a generation, calls last and one after the other, and its end."""
    pieces = draw(st.lists(_SAID, max_size=4))
    calls = draw(st.lists(_CALLS, max_size=2))
    for index, call in enumerate(calls):
        pieces.append(ToolCallDelta(index=index, id=call.id, name=call.name))
        pieces.append(ToolCallDelta(index=index, arguments=call.arguments))
    return pieces, Done(
        finish_reason=draw(st.sampled_from(FinishReason)),
        usage=Usage(prompt_tokens=1, completion_tokens=2),
        content=draw(TEXTS),
        reasoning=draw(TEXTS),
        tool_calls=tuple(calls),
        logprobs=draw(LOGPROBS),
        stop_text=draw(st.none() | TEXTS),
    )


ERRORS: st.SearchStrategy[ModeldError] = TEXTS.map(LoadFailedError)


def call_of(model: str) -> Call:
    """Return an HTTP request for a model."""
    return Call(
        request_id="r-1",
        created_unix=1,
        begun_s=0.0,
        headers={},
        query={},
        path={},
        service=FakeService(),
        model=model,
    )


def said(pieces: Sequence[Piece], kind: type[Token | ReasoningToken]) -> str:
    """Return the text of all pieces of a kind."""
    return "".join(piece.text for piece in pieces if isinstance(piece, kind))


def written(encoder: StreamEncoder, pieces: Sequence[Piece], done: Done) -> str:
    """Return a whole stream."""
    parts = [encoder.piece(0, piece) for piece in pieces]
    return b"".join((*parts, encoder.done(0, done), encoder.last())).decode()


def objects_in_lines(text: str) -> list[Any]:
    """Return the objects of NDJSON, which is the same however its lines are found."""
    lines = text.split("\n")
    assert lines.pop() == ""
    assert text.splitlines() == lines
    return [json.loads(line) for line in lines]


def objects_in_events(text: str) -> list[Any]:
    """Return the data of events, which is the same however their lines are found."""
    lines = text.split("\n")
    assert lines.pop() == ""
    assert text.splitlines() == re.split(r"\r\n|\n|\r", text)[:-1] == lines
    *events, end = text.split("\n\n")
    assert end == ""
    return [_data(event.split("\n")) for event in events]


def _data(fields: Sequence[str]) -> Any:
    (data,) = [each.removeprefix("data: ") for each in fields if each.startswith("data: ")]
    assert all(each.startswith(("data: ", "event: ")) for each in fields)
    return data if data == "[DONE]" else json.loads(data)
