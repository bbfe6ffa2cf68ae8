# SPDX-License-Identifier: GPL-3.0-only
"""LangChain's client for OpenAI's API, unchanged, against a real server and a real model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import openai
import pytest
from langchain_core.exceptions import ContextOverflowError
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
PROMPT = "What is the capital of France?"


class Person(BaseModel):
    """A person."""

    name: str
    age: int


@tool
def weather(city: str) -> str:
    """Return the weather of a city."""
    return f"It is sunny in {city}."


CHATS: dict[str, Any] = {"seed": 1, "stream_usage": True}
RESPONSES: dict[str, Any] = {"use_responses_api": True}


def chat_model(server: str, **members: Any) -> ChatOpenAI:
    return ChatOpenAI(
        model=MODEL,
        base_url=f"{server}/v1",
        api_key="unused",
        temperature=0,
        max_tokens=60,
        max_retries=0,
        **members,
    )


@pytest.fixture(params=[CHATS, RESPONSES], ids=["chats", "responses"])
def llm(server: str, request: pytest.FixtureRequest) -> ChatOpenAI:
    return chat_model(server, **request.param)


def test_invoke(llm: ChatOpenAI) -> None:
    message = llm.invoke([SystemMessage("You are brief."), HumanMessage(PROMPT)])
    assert message.text
    assert message.usage_metadata is not None
    assert message.usage_metadata["output_tokens"] <= 60
    assert message.response_metadata["model_name"] == MODEL


def test_a_stream_has_the_same_text(llm: ChatOpenAI) -> None:
    first, *others = llm.stream(PROMPT)
    whole = sum(others, first)
    assert whole.text == llm.invoke(PROMPT).text
    assert whole.usage_metadata is not None


def test_a_batch(llm: ChatOpenAI) -> None:
    assert all(message.content for message in llm.batch(["One, two,", "A, b,"], max_tokens=4))


def test_a_tool_is_called_and_its_result_is_taken(llm: ChatOpenAI) -> None:
    asked = HumanMessage("How is the weather in Paris?")
    message = llm.bind_tools([weather], tool_choice="weather").invoke([asked])
    assert isinstance(message, AIMessage)
    call = message.tool_calls[0]
    assert (call["name"], set(call["args"])) == ("weather", {"city"})
    result = weather.invoke(call)
    assert isinstance(result, ToolMessage)
    assert llm.bind_tools([weather]).invoke([asked, message, result]).content


def test_a_call_is_streamed_in_parts(llm: ChatOpenAI) -> None:
    first, *others = llm.bind_tools([weather], tool_choice="any").stream("The weather in Paris?")
    (call, *_) = sum(others, first).tool_calls
    assert (call["name"], set(call["args"])) == ("weather", {"city"})


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output(
    llm: ChatOpenAI, method: Literal["json_schema", "function_calling"]
) -> None:
    person = llm.with_structured_output(Person, method=method).invoke("Bob is seven. As JSON:")
    assert isinstance(person, Person)


def test_vectors(server: str) -> None:
    embeddings = OpenAIEmbeddings(
        model="gemma-3-270m-q4_k_m.gguf",
        base_url=f"{server}/v1",
        api_key="unused",
        check_embedding_ctx_length=False,  # or it sends token ids, of OpenAI's vocabulary
    )
    first, second = embeddings.embed_documents(["a cat", "a river"])
    assert len(first) == len(second) == 640
    assert embeddings.embed_query("a cat") == pytest.approx(first, abs=1e-5)


def test_a_chat_goes_on_from_what_was_said(llm: ChatOpenAI) -> None:
    named = HumanMessage("My name is Bob.")
    first = llm.invoke([named])
    second = llm.invoke([named, first, HumanMessage("What is my name?")])
    assert first.usage_metadata is not None
    assert second.usage_metadata is not None
    assert second.usage_metadata["input_tokens"] > first.usage_metadata["input_tokens"]


def test_the_server_keeps_a_chat(server: str) -> None:
    llm = chat_model(server, **RESPONSES)
    first = llm.invoke("My name is Bob.")
    name = first.response_metadata["id"]
    second = llm.invoke("What is my name?", previous_response_id=name)
    assert first.usage_metadata is not None
    assert second.usage_metadata is not None
    assert second.usage_metadata["input_tokens"] > first.usage_metadata["input_tokens"]


def test_an_unknown_model_is_not_found(llm: ChatOpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="there is no model 'none'"):
        llm.invoke(PROMPT, model="none")


def test_a_prompt_that_is_too_long_is_known_as_such(llm: ChatOpenAI) -> None:
    with pytest.raises(ContextOverflowError):
        llm.invoke("hello " * 9000)


def test_the_example_runs(example: Callable[[str], list[str]]) -> None:
    *_, sunny, person = example("langchain_client.py")
    assert sunny.startswith("It is sunny in")
    assert person.startswith("name=")
