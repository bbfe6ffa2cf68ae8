# SPDX-License-Identifier: GPL-3.0-only
"""Responses with OpenAI's own client, unchanged, against a real server and a real model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Literal

import openai
import pytest
from openai import OpenAI
from openai.types.responses import ResponseFunctionToolCall
from pydantic import BaseModel

MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
ASKED = "What is the capital of France?"
TOOL = {
    "type": "function",
    "name": "weather",
    "strict": True,
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}},
        "required": ["city"],
    },
}


@pytest.fixture(scope="module")
def client(server: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server}/v1", api_key="unused", max_retries=0) as client:
        yield client


class Person(BaseModel):
    name: str
    age: int
    pet: Literal["cat", "dog"]


def test_a_response_in_one_piece(client: OpenAI) -> None:
    said = client.responses.create(
        model=MODEL, input=ASKED, max_output_tokens=16, temperature=0, metadata={"a": "b"}
    )
    assert said.id.startswith("resp_")
    assert said.model == MODEL
    assert said.status in {"completed", "incomplete"}
    assert said.output_text
    assert said.metadata == {"a": "b"}
    usage = said.usage
    assert usage is not None
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert usage.output_tokens_details.reasoning_tokens == 0


def test_a_stream_has_the_same_text_as_one_piece(client: OpenAI) -> None:
    wanted = {"model": MODEL, "input": ASKED, "max_output_tokens": 16, "temperature": 0}
    whole = client.responses.create(**wanted)
    events = list(client.responses.create(**wanted, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].type == "response.created"
    text = "".join(event.delta for event in events if event.type == "response.output_text.delta")
    assert text == whole.output_text
    last = events[-1]
    assert last.type in {"response.completed", "response.incomplete"}
    assert last.response.output_text == text
    assert last.response.usage is not None


def test_the_streaming_helper_gathers_all(client: OpenAI) -> None:
    with client.responses.stream(
        model=MODEL, input=ASKED, extra_body={"choice": ["yes, it is", "no"]}
    ) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_response()
    assert {"response.output_text.delta", "response.output_text.done"} <= kinds
    assert final.output_text in {"yes, it is", "no"}


def test_a_response_is_parsed_into_a_model(client: OpenAI) -> None:
    said = client.responses.parse(
        model=MODEL,
        instructions="Say it as JSON.",
        input="Bob is seven and has a dog.",
        text_format=Person,
        max_output_tokens=60,
        temperature=0,
    )
    assert isinstance(said.output_parsed, Person)


def test_probabilities(client: OpenAI) -> None:
    said = client.responses.create(
        model=MODEL,
        input=ASKED,
        max_output_tokens=3,
        include=["message.output_text.logprobs"],
        top_logprobs=2,
    )
    (message,) = said.output
    assert message.type == "message"
    (part,) = message.content
    assert part.type == "output_text"
    assert part.logprobs is not None
    assert all(len(token.top_logprobs) == 2 for token in part.logprobs)
    assert b"".join(bytes(token.bytes) for token in part.logprobs).decode() == part.text


def call_of(client: OpenAI) -> tuple[openai.types.responses.Response, ResponseFunctionToolCall]:
    said = client.responses.create(
        model=MODEL,
        input=ASKED,
        tools=[TOOL],  # type: ignore[list-item]
        tool_choice="required",
        parallel_tool_calls=False,
        temperature=0,
        max_output_tokens=200,
    )
    (call,) = said.output
    assert call.type == "function_call"
    assert isinstance(json.loads(call.arguments)["city"], str)
    return said, call


def test_a_call_is_gone_on_from_by_id_and_by_items(client: OpenAI) -> None:
    said, call = call_of(client)
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "18 degrees"}
    wanted = {"model": MODEL, "tools": [TOOL], "temperature": 0, "max_output_tokens": 8}
    by_id = client.responses.create(**wanted, previous_response_id=said.id, input=[result])
    first = {"role": "user", "content": ASKED}
    by_items = client.responses.create(**wanted, input=[first, *said.output, result])
    assert by_id.output_text == by_items.output_text
    assert by_id.usage is not None
    assert by_items.usage is not None
    assert by_id.usage.input_tokens == by_items.usage.input_tokens


def test_a_call_is_streamed_in_parts(client: OpenAI) -> None:
    with client.responses.stream(
        model=MODEL,
        input=ASKED,
        tools=[TOOL],  # type: ignore[list-item]
        tool_choice={"type": "function", "name": "weather"},
        parallel_tool_calls=False,
        temperature=0,
        max_output_tokens=200,
    ) as stream:
        events = list(stream)
        (call,) = stream.get_final_response().output
    assert call.type == "function_call"
    deltas = [e.delta for e in events if e.type == "response.function_call_arguments.delta"]
    assert "".join(deltas) == call.arguments
    assert isinstance(json.loads(call.arguments)["city"], str)


def test_a_stored_response_is_retrieved_listed_and_deleted(client: OpenAI) -> None:
    said = client.responses.create(model=MODEL, input=ASKED, max_output_tokens=4)
    assert client.responses.retrieve(said.id) == said
    more = client.responses.create(
        model=MODEL, input="And of Spain?", previous_response_id=said.id, max_output_tokens=4
    )
    items = list(client.responses.input_items.list(more.id, limit=1, order="asc"))
    assert [getattr(item, "role", None) for item in items] == ["user", "assistant", "user"]
    with pytest.raises(openai.BadRequestError, match="background"):
        client.responses.cancel(said.id)
    client.responses.delete(said.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(said.id)
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model=MODEL, input=ASKED, previous_response_id=said.id)
    assert caught.value.param == "previous_response_id"


def test_what_is_not_served_is_named(client: OpenAI) -> None:
    for wrong, param in (
        ({"tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({"background": True}, "background"),
        ({"reasoning": {"summary": "auto"}}, "reasoning.summary"),
        ({"truncation": "auto"}, "truncation"),
    ):
        with pytest.raises(openai.BadRequestError) as caught:
            client.responses.create(model=MODEL, input=ASKED, **wrong)  # type: ignore[call-overload]
        assert caught.value.param == param
