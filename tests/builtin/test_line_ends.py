# SPDX-License-Identifier: GPL-3.0-only
"""The native formats are cut into the same objects by every reader, whatever stands in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given

from modeld import OutputFormatter
from modeld.builtin.ndjson import Ndjson
from modeld.builtin.sse import ServerSentEvents
from modeld.errors import ModeldError
from modeld.httpapi.exchange.writing.formatted import FormattedStream
from modeld.responses import Done, Piece, ReasoningToken, Token
from tests.support.http.streams import (
    ERRORS,
    generations,
    objects_in_events,
    objects_in_lines,
    said,
    written,
)

FORMATS = pytest.mark.parametrize(
    ("formatter", "objects_in"),
    [(Ndjson(), objects_in_lines), (ServerSentEvents(), objects_in_events)],
)
Cut = Callable[[str], list[Any]]


@FORMATS
@given(generation=generations())
def test_a_stream_is_cut_into_its_objects(
    formatter: OutputFormatter, objects_in: Cut, generation: tuple[list[Piece], Done]
) -> None:
    pieces, done = generation
    *found, end = objects_in(written(FormattedStream(formatter), pieces, done))
    assert len(found) == len(pieces)
    assert "".join(each.get("token", "") for each in found) == said(pieces, Token)
    assert "".join(each.get("reasoning", "") for each in found) == said(pieces, ReasoningToken)
    assert [call["arguments"] for call in end.get("tool_calls", ())] == [
        call.arguments for call in done.tool_calls or ()
    ]
    assert end["content"] == done.content


@FORMATS
@given(error=ERRORS)
def test_an_error_is_one_object(
    formatter: OutputFormatter, objects_in: Cut, error: ModeldError
) -> None:
    (found,) = objects_in(FormattedStream(formatter).failure(error, 503).decode())
    assert found["error"] == error.message
