# SPDX-License-Identifier: GPL-3.0-only
"""Anthropic's own client, unchanged, against a real server and a real model."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import anthropic
import pytest
from anthropic import Anthropic, AsyncAnthropic
from pydantic import BaseModel

MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
TURN: Any = {"role": "user", "content": "What is the capital of France?"}
TOOL: Any = {
    "name": "weather",
    "description": "Tell the weather of a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 20}},
        "required": ["city"],
    },
}
GREEDY: Any = {"temperature": 0}
"""What the client has no argument for any more, and takes in its extra body."""

LEAST: Any = {"model": MODEL, "messages": [TURN], "max_tokens": 16, "extra_body": GREEDY}
CACHED: Any = {"cache_control": {"type": "ephemeral"}}


@pytest.fixture(scope="module")
def client(server: str) -> Iterator[Anthropic]:
    with Anthropic(base_url=server, api_key="unused", max_retries=0) as client:
        yield client


def text_of(message: Any) -> str:
    (block,) = message.content
    assert block.type == "text"
    return block.text


def test_a_message_in_one_piece(client: Anthropic) -> None:
    message = client.messages.create(**LEAST, system="You are brief.")
    assert message.id.startswith("msg_")
    assert (message.type, message.role, message.model) == ("message", "assistant", MODEL)
    assert text_of(message)
    assert message.stop_reason in {"end_turn", "max_tokens"}
    assert message.stop_sequence is None
    usage = message.usage
    assert usage.input_tokens + (usage.cache_read_input_tokens or 0) > 5
    assert 0 < usage.output_tokens <= 16
    assert message._request_id == message.id.removeprefix("msg_")


def test_a_message_can_be_sent_again_as_it_came(client: Anthropic) -> None:
    said = client.messages.create(**LEAST)
    again = [
        TURN,
        {"role": said.role, "content": said.content},
        {"role": "user", "content": "And of Spain?"},
    ]
    assert text_of(client.messages.create(**{**LEAST, "messages": again}))


def test_a_stream_has_the_same_text_as_one_piece(client: Anthropic) -> None:
    whole = client.messages.create(**LEAST)
    events = list(client.messages.create(**LEAST, stream=True))
    kinds = [event.type for event in events]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert set(kinds[2:-3]) == {"content_block_delta"}
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    text = "".join(event.delta.text for event in events if event.type == "content_block_delta")
    assert text == text_of(whole)
    (delta,) = [event for event in events if event.type == "message_delta"]
    assert delta.delta.stop_reason == whole.stop_reason
    assert delta.usage.output_tokens == whole.usage.output_tokens


def test_the_streaming_helper_gathers_all(client: Anthropic) -> None:
    with client.messages.stream(**LEAST) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text_of(final) == text == text_of(client.messages.create(**LEAST))
    assert final.usage.input_tokens + (final.usage.cache_read_input_tokens or 0) > 5
    assert final.stop_reason is not None


def test_messages_without_blocking(server: str) -> None:
    async def go() -> None:
        async with AsyncAnthropic(base_url=server, api_key="unused") as client:
            whole = await client.messages.create(**LEAST)
            async with client.messages.stream(**LEAST) as stream:
                text = "".join([text async for text in stream.text_stream])
            assert text == text_of(whole)

    asyncio.run(go())


def test_what_the_model_has_begun_is_gone_on_with(client: Anthropic) -> None:
    begun = [TURN, {"role": "assistant", "content": "The capital of France is"}]
    assert "Paris" in text_of(client.messages.create(**{**LEAST, "messages": begun}))


def test_a_stop_sequence_is_named(client: Anthropic) -> None:
    begun = [TURN, {"role": "assistant", "content": "The capital of France is"}]
    wanted = {**LEAST, "messages": begun, "stop_sequences": ["xyz", "Paris"]}
    message = client.messages.create(**wanted)
    assert (message.stop_reason, message.stop_sequence) == ("stop_sequence", "Paris")
    with client.messages.stream(**wanted) as stream:
        final = stream.get_final_message()
    assert (final.stop_reason, final.stop_sequence) == ("stop_sequence", "Paris")


FORCED: Any = {"type": "tool", "name": "weather", "disable_parallel_tool_use": True}


def test_a_tool_that_must_be_called_is_called_as_its_schema_says(client: Anthropic) -> None:
    wanted = {**LEAST, "max_tokens": 200, "tools": [TOOL]}
    message = client.messages.create(**wanted, tool_choice=FORCED)
    assert message.stop_reason == "tool_use"
    (call,) = message.content
    assert call.type == "tool_use"
    assert call.name == "weather"
    assert isinstance(call.input["city"], str)
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "18 degrees"}
    wanted["messages"] = [
        TURN,
        {"role": "assistant", "content": message.content},
        {"role": "user", "content": [result]},
    ]
    assert client.messages.create(**{**wanted, "max_tokens": 8}).content


def test_a_call_is_streamed_in_parts(client: Anthropic) -> None:
    wanted = {**LEAST, "max_tokens": 200, "tools": [TOOL], "tool_choice": FORCED}
    with client.messages.stream(**wanted) as stream:
        parts = [event.partial_json for event in stream if event.type == "input_json"]
        (call,) = stream.get_final_message().content
    assert call.type == "tool_use"
    assert json.loads("".join(parts)) == call.input
    assert isinstance(call.input["city"], str)


class Person(BaseModel):
    name: str
    age: int
    pet: Literal["cat", "dog"]


def test_a_response_is_parsed_into_a_model(client: Anthropic) -> None:
    message = client.messages.parse(
        model=MODEL,
        max_tokens=60,
        messages=[{"role": "user", "content": "Bob is seven and has a dog. As JSON:"}],
        output_format=Person,
        extra_body=GREEDY,
    )
    assert isinstance(message.parsed_output, Person)


def test_own_fields_go_through_the_extra_body(client: Anthropic) -> None:
    own = {"choice": ["yes", "no"], "min_p": 0.1}
    message = client.messages.create(**{**LEAST, "extra_body": own})
    assert text_of(message) in {"yes", "no"}


def test_thinking_as_the_model_likes_is_none_for_one_that_cannot(client: Anthropic) -> None:
    message = client.messages.create(**LEAST, thinking={"type": "adaptive"})
    assert text_of(message)
    assert text_of(client.messages.create(**LEAST, thinking={"type": "disabled"}))
    with pytest.raises(anthropic.BadRequestError) as caught:
        client.messages.create(**LEAST, thinking={"type": "enabled", "budget_tokens": 1024})
    assert caught.value.error_code == "not_supported"
    assert "thinking: " in str(caught.value)


def test_former_thinking_is_taken(client: Anthropic) -> None:
    thought = {"type": "thinking", "thinking": "Easy.", "signature": "of-another-server"}
    turns = [TURN, {"role": "assistant", "content": [thought, {"type": "text", "text": "Paris."}]}]
    assert text_of(client.messages.create(**{**LEAST, "messages": [*turns, TURN]}))


def test_tokens_are_counted_as_they_are_used(client: Anthropic) -> None:
    for more in ({}, {"system": "You are brief."}, {"tools": [TOOL]}):
        counted = client.messages.count_tokens(model=MODEL, messages=[TURN], **more)
        usage = client.messages.create(**{**LEAST, "max_tokens": 1}, **more).usage
        used = usage.input_tokens + (usage.cache_read_input_tokens or 0)
        assert counted.input_tokens == used


def test_what_a_coding_agent_sends_is_taken(server: str) -> None:
    """Betas, both kinds of key, blocks that are to be cached, what is for the API alone."""
    wanted: Any = {
        **LEAST,
        "system": [
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1; cch=97bd6;"},
            {"type": "text", "text": "You are brief.", "cache_control": {"type": "ephemeral"}},
        ],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hi!", **CACHED}]},
            {"role": "system", "content": "Available agents: none."},
        ],
        "tools": [{**TOOL, **CACHED}],
        "tool_choice": {"type": "auto"},
        "metadata": {"user_id": json.dumps({"session_id": "x" * 300})},
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "high"},
        "betas": ["claude-code-20250219", "interleaved-thinking-2025-05-14"],
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "extra_body": {"cache_control": {"type": "ephemeral", "scope": "global"}},
    }
    other = {"x-api-key": "of-another-server"}
    with Anthropic(
        base_url=server, auth_token="unused", max_retries=0, default_headers=other
    ) as client:
        assert client.beta.messages.create(**wanted).content
        with client.beta.messages.stream(**wanted) as stream:
            assert stream.get_final_message().content
        counted = client.beta.messages.count_tokens(
            model=MODEL, messages=wanted["messages"], system=wanted["system"], tools=wanted["tools"]
        )
        assert counted.input_tokens > 20


def test_the_models_are_listed_where_openais_form_is_served(client: Anthropic) -> None:
    assert MODEL in {model.id for model in client.models.list().data}


def test_an_unknown_model_is_not_found(client: Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as caught:
        client.messages.create(**{**LEAST, "model": "claude-none"})
    assert (caught.value.type, caught.value.error_code) == ("not_found_error", "model_not_found")
    assert caught.value.request_id
    with pytest.raises(anthropic.NotFoundError):
        client.messages.count_tokens(model="claude-none", messages=[TURN])


def test_what_is_wrong_is_named(client: Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="temperature: "):
        client.messages.create(**{**LEAST, "extra_body": {"temperature": 9}})
    with pytest.raises(anthropic.BadRequestError, match="temprature: unknown field"):
        client.messages.create(**{**LEAST, "extra_body": {"temprature": 1}}, stream=True)
    with pytest.raises(anthropic.BadRequestError, match="only tools of your own"):
        client.messages.create(
            **LEAST, tools=[{"type": "web_search_20250305", "name": "web_search"}]
        )


def test_what_the_model_cannot_read_is_refused(client: Anthropic) -> None:
    png = base64.b64encode(b"png").decode()
    source: Any = {"type": "base64", "media_type": "image/png", "data": png}
    image: Any = {"role": "user", "content": [{"type": "image", "source": source}]}
    with pytest.raises(anthropic.BadRequestError, match="messages: ") as caught:
        client.messages.create(**{**LEAST, "messages": [image]})
    assert caught.value.error_code == "not_supported"


def test_a_conversation_that_is_too_long_is_told_in_the_known_words(client: Anthropic) -> None:
    long = {"role": "user", "content": "word " * 20_000}
    with pytest.raises(anthropic.BadRequestError, match="prompt is too long") as caught:
        client.messages.create(**{**LEAST, "messages": [long]})
    assert caught.value.error_code == "prompt_too_long"


def test_the_example_runs(server: str) -> None:
    example = Path(__file__).parents[2] / "examples" / "clients" / "anthropic_client.py"
    done = subprocess.run(
        [sys.executable, str(example)],
        env={**os.environ, "ANTHROPIC_BASE_URL": server},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *_, called, _person, chosen, code = done.stdout.splitlines()
    assert called in {"{'city': 'Paris'}", "{'city': 'Rome'}"}
    assert chosen in {"yes", "no"}
    assert code == "model_not_found"
