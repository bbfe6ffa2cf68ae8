# SPDX-License-Identifier: GPL-3.0-only
"""LiteLLM, unchanged, against a real server and real models."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or it looks prices up elsewhere

import litellm
import pytest
from pydantic import BaseModel

MODEL = "openai/SmolLM2-135M-Instruct.Q4_1.gguf"
TURN = {"role": "user", "content": "What is the capital of France?"}
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 20}},
            "required": ["city"],
        },
    },
}


class Person(BaseModel):
    name: str
    age: int


@pytest.fixture
def ask(server: str) -> Callable[..., Any]:
    """Return LiteLLM's completion, with all that says where and what the model is."""

    def completion(**wanted: Any) -> Any:
        return litellm.completion(
            **{"model": MODEL, "messages": [TURN], "temperature": 0, "seed": 1} | wanted,
            api_base=f"{server}/v1",
            api_key="unused",
            max_retries=0,
        )

    return completion


def test_a_chat(ask: Callable[..., Any]) -> None:
    response = ask(max_tokens=16)
    (choice,) = response.choices
    assert choice.message.content
    assert choice.finish_reason in {"stop", "length"}
    assert response.usage.completion_tokens <= 16


def test_a_stream_has_the_same_text_and_its_usage(ask: Callable[..., Any]) -> None:
    whole = ask(max_tokens=16)
    chunks = list(ask(max_tokens=16, stream=True, stream_options={"include_usage": True}))
    rebuilt = litellm.stream_chunk_builder(chunks)
    assert rebuilt.choices[0].message.content == whole.choices[0].message.content
    assert rebuilt.usage.completion_tokens == whole.usage.completion_tokens


def test_a_response_has_a_form(ask: Callable[..., Any]) -> None:
    response = ask(response_format=Person, max_tokens=60)
    Person.model_validate_json(response.choices[0].message.content)


def test_a_tool_is_called_and_its_result_is_taken(ask: Callable[..., Any]) -> None:
    tools = {"tools": [TOOL], "max_tokens": 60}
    response = ask(**tools, tool_choice={"type": "function", "function": {"name": "weather"}})
    message = response.choices[0].message
    call = message.tool_calls[0]
    assert "city" in json.loads(call.function.arguments)
    result = {"role": "tool", "tool_call_id": call.id, "name": "weather", "content": "18 degrees"}
    assert ask(**tools, messages=[TURN, message, result]).choices[0].message.content


def test_own_fields_go_through_the_extra_body(ask: Callable[..., Any]) -> None:
    response = ask(extra_body={"choice": ["yes", "no"]})
    assert response.choices[0].message.content in {"yes", "no"}


def test_vectors(server: str) -> None:
    response = litellm.embedding(
        model="openai/gemma-3-270m-q4_k_m.gguf",
        input=["a cat", "a river"],
        api_base=f"{server}/v1",
        api_key="unused",
    )
    first, second = (each["embedding"] for each in response.data)
    assert len(first) == len(second) == 640
    assert first != second


def test_an_unknown_model_is_not_found(ask: Callable[..., Any]) -> None:
    with pytest.raises(litellm.NotFoundError, match="there is no model 'none'"):
        ask(model="openai/none")


def test_a_prompt_that_is_too_long_is_known_as_such(ask: Callable[..., Any]) -> None:
    with pytest.raises(litellm.ContextWindowExceededError):
        ask(messages=[{"role": "user", "content": "hello " * 9000}])


def test_the_example_runs(example: Callable[[str], list[str]]) -> None:
    assert all(example("litellm_client.py"))
