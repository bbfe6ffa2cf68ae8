# SPDX-License-Identifier: GPL-3.0-only
"""A forced call that the limit cuts is a call on every wire that has such, streamed and whole."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from tiny_gguf import Script, write_scripted

from tests.support.http.served import Served, serving

TEMPLATE = "{% for m in messages %}{{ m.content }}{% endfor %}"
OPTIONS = {"*": {"context": 1024, "threads": 1}}
COMPACT: Script = {b"{": b'"', b'"': b":", b":": b'"'}
"""Keeps the model from white space, where it may choose."""

SCHEMA = {
    "type": "object",
    "properties": {"city": {"const": "a name of a city"}},
    "required": ["city"],
    "additionalProperties": False,
}
FUNCTION = {"name": "weather", "parameters": SCHEMA}
CHAT = [{"role": "user", "content": "x"}]
BEGUN = '{"city":"a name of'
"""What there is of the arguments after so many tokens, each of which is one byte."""

TOKENS = len('<tool_call>\n{"name": "weather", "arguments": ' + BEGUN)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    write_scripted(folder / "m.gguf", COMPACT, chat_template=TEMPLATE)
    with serving(folder, "--models", json.dumps(OPTIONS)) as server:
        yield server


def both(served: Served, path: str, **body: Any) -> tuple[Any, list[Any]]:
    """Return the response in one piece, and the objects of the one that is streamed."""
    asked = {"model": "m.gguf", "temperature": 0, **body}
    whole, stream = (served.post(path, {**asked, "stream": stream}) for stream in (False, True))
    assert (whole.status_code, stream.status_code) == (200, 200), whole.text
    return whole.json(), objects_of(stream)


def objects_of(response: httpx.Response) -> list[Any]:
    lines = [line.removeprefix("data: ") for line in response.text.splitlines()]
    return [json.loads(line) for line in lines if line.startswith("{")]


def test_on_the_native_wire(served: Served) -> None:
    whole, parts = both(
        served,
        "/infer",
        messages=CHAT,
        tools=[FUNCTION],
        tool_choice="required",
        max_tokens=TOKENS,
    )
    for done in (whole, parts[-1]):
        assert (done["content"], done["finish_reason"]) == ("", "length")
        (call,) = done["tool_calls"]
        assert (call["name"], call["arguments"]) == ("weather", BEGUN)
    assert "".join(each["tool_call"]["arguments"] for each in parts[:-1]) == BEGUN


def test_in_openais_chats(served: Served) -> None:
    whole, chunks = both(
        served,
        "/v1/chat/completions",
        messages=CHAT,
        tools=[{"type": "function", "function": FUNCTION}],
        tool_choice={"type": "function", "function": {"name": "weather"}},
        max_tokens=TOKENS,
    )
    (choice,) = whole["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == (None, "length")
    (call,) = choice["message"]["tool_calls"]
    assert call["function"] == {"name": "weather", "arguments": BEGUN}
    choices = [each["choices"][0] for each in chunks]
    deltas = [call for each in choices for call in each["delta"].get("tool_calls", ())]
    assert "".join(each["function"]["arguments"] for each in deltas) == BEGUN
    assert choices[-1]["finish_reason"] == "length"


def test_in_openais_responses(served: Served) -> None:
    whole, events = both(
        served,
        "/v1/responses",
        input="x",
        tools=[{"type": "function", **FUNCTION, "strict": True}],
        tool_choice="required",
        max_output_tokens=TOKENS,
        store=False,
    )
    for response in (whole, events[-1]["response"]):
        (item,) = response["output"]
        assert item["type"] == "function_call"
        assert (item["name"], item["arguments"]) == ("weather", BEGUN)
        assert (item["status"], response["status"]) == ("incomplete", "incomplete")


def test_in_anthropics_messages(served: Served) -> None:
    whole, events = both(
        served,
        "/v1/messages",
        messages=CHAT,
        tools=[{"name": "weather", "input_schema": SCHEMA}],
        tool_choice={"type": "any"},
        max_tokens=TOKENS,
    )
    (block,) = whole["content"]
    assert (block["name"], block["input"]) == ("weather", {"city": "a name of"})
    assert whole["stop_reason"] == "max_tokens"
    deltas = [each["delta"] for each in events if each["type"] == "content_block_delta"]
    assert "".join(each["partial_json"] for each in deltas) == BEGUN
