# SPDX-License-Identifier: GPL-3.0-only
"""Whatever a body has in it, it is a request or is refused; nothing else comes of it."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

from anthropic_calls import TURN
from hypothesis import given
from hypothesis import strategies as st
from modeld_anthropic.messages.body import CountTokensBody, MessagesBody

from modeld.dialects import Call
from modeld.errors import InvalidRequestError
from modeld.httpapi.exchange.reading.json_body import parse
from tests.support.http.fake_service import FakeService

CALL = Call(
    request_id="r",
    created_unix=0,
    begun_s=0.0,
    headers={},
    query={},
    path={},
    service=FakeService(),
    model="m",
)
TEXT = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
IMAGE = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": "cG5n"},
}
DOCUMENT = {
    "type": "document",
    "source": {"type": "text", "media_type": "text/plain", "data": "d"},
}
USE = {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}}
THOUGHT = {"type": "thinking", "thinking": "h", "signature": "modeld:aG0="}
RESULT = {"type": "tool_result", "tool_use_id": "c", "content": [TEXT], "is_error": True}
SCHEMA = {"type": "object"}
CONVERSATION: dict[str, Any] = {
    "system": [TEXT],
    "messages": [
        {"role": "user", "content": [TEXT, IMAGE, DOCUMENT]},
        {"role": "assistant", "content": [THOUGHT, TEXT, USE]},
        {"role": "user", "content": [RESULT]},
        {"role": "system", "content": "s"},
        TURN,
    ],
    "tools": [{"name": "f", "input_schema": SCHEMA}],
    "tool_choice": {"type": "tool", "name": "f"},
    "thinking": {"type": "enabled", "budget_tokens": 3, "display": "omitted"},
    "output_config": {"effort": "low", "format": {"type": "json_schema", "schema": SCHEMA}},
}
BODIES = {
    MessagesBody: {**CONVERSATION, "max_tokens": 5, "stop_sequences": ["a"], "stream": True},
    CountTokensBody: CONVERSATION,
}
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["type", "text", "content", "x"]), inner, max_size=3)
    ),
    max_leaves=5,
)


def paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield where the members of a body are, in whatever depth."""
    members = value.items() if isinstance(value, dict) else enumerate(value)
    for key, member in members:
        yield (*path, key)
        if isinstance(member, dict | list):
            yield from paths(member, (*path, key))


def changed(body: dict[str, Any], path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    made: Any = copy.deepcopy(body)
    inside = made
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = value
    return made


def test_the_bodies_are_requests_as_they_are() -> None:
    for kind, body in BODIES.items():
        assert parse(kind, body).request(CALL)


@given(st.data())
def test_a_body_with_anything_in_it_is_a_request_or_is_refused(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from([MessagesBody, CountTokensBody]))
    path = data.draw(st.sampled_from(list(paths(BODIES[kind]))))
    body = changed(BODIES[kind], path, data.draw(VALUES))
    with contextlib.suppress(InvalidRequestError):
        assert parse(kind, body).request(CALL)
