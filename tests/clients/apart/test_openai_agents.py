# SPDX-License-Identifier: GPL-3.0-only
"""OpenAI's Agents SDK, unchanged, against a real server and a real model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from agents import (
    Agent,
    Model,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    RunResult,
    function_tool,
    set_default_openai_client,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from pydantic import BaseModel

MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
SETTINGS = ModelSettings(temperature=0, max_tokens=400, include_usage=True)
"""The SDK takes a response that `max_tokens` ends for a failure."""

set_tracing_disabled(True)


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def client_of(server: str) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{server}/v1", api_key="unused", max_retries=0)


@pytest.fixture(params=[OpenAIChatCompletionsModel, OpenAIResponsesModel])
def model(server: str, request: pytest.FixtureRequest) -> Model:
    made: Model = request.param(model=MODEL, openai_client=client_of(server))
    return made


def test_a_text(model: Model) -> None:
    agent = Agent(name="A", instructions="You are brief.", model=model, model_settings=SETTINGS)
    result = Runner.run_sync(agent, "Who are you?")
    assert result.final_output
    assert 0 < result.context_wrapper.usage.output_tokens <= 400


def test_a_model_by_its_name_is_asked_for_responses(server: str) -> None:
    set_default_openai_client(client_of(server), use_for_tracing=False)
    agent = Agent(name="A", model=MODEL, model_settings=SETTINGS)
    assert Runner.run_sync(agent, "Who are you?").final_output


def test_a_chat_goes_on_from_what_was_said(model: Model) -> None:
    agent = Agent(name="A", model=model, model_settings=SETTINGS)
    first = Runner.run_sync(agent, "My name is Bob.")
    asked = {"role": "user", "content": "What is my name?"}
    second = Runner.run_sync(agent, [*first.to_input_list(), asked])
    assert second.context_wrapper.usage.input_tokens > first.context_wrapper.usage.input_tokens


def test_the_server_keeps_a_chat(server: str) -> None:
    model = OpenAIResponsesModel(model=MODEL, openai_client=client_of(server))
    agent = Agent(name="A", model=model, model_settings=SETTINGS)

    def run(text: str, before: str | None = None) -> RunResult:
        return Runner.run_sync(agent, text, previous_response_id=before)

    first = run("My name is Bob.")
    second = run("What is my name?", first.last_response_id)
    assert second.context_wrapper.usage.input_tokens > first.context_wrapper.usage.input_tokens


def test_a_stream(model: Model) -> None:
    async def go() -> list[str]:
        agent = Agent(name="A", model=model, model_settings=SETTINGS)
        result = Runner.run_streamed(agent, "Who are you?")
        return [event.type async for event in result.stream_events()]

    kinds = asyncio.run(go())
    assert kinds.count("raw_response_event") > 3
    assert "run_item_stream_event" in kinds


def test_the_output_has_a_type(model: Model) -> None:
    agent = Agent(name="A", model=model, model_settings=SETTINGS, output_type=Person)
    assert isinstance(Runner.run_sync(agent, "Bob is seven. As JSON:").final_output, Person)


def test_a_tool_is_called_and_its_result_is_taken(model: Model) -> None:
    cities = []

    @function_tool
    def weather(city: str) -> str:
        """Return the weather of a city."""
        cities.append(city)
        return f"It is sunny in {city}."

    agent = Agent(
        name="Forecaster",
        model=model,
        tools=[weather],
        model_settings=SETTINGS.resolve(ModelSettings(tool_choice="weather")),
    )
    assert Runner.run_sync(agent, "How is the weather in Paris?").final_output
    assert cities


def test_one_agent_hands_over_to_another(model: Model) -> None:
    second = Agent(name="Second", model=model, model_settings=SETTINGS)
    first = Agent(
        name="First",
        model=model,
        handoffs=[second],
        model_settings=SETTINGS.resolve(ModelSettings(tool_choice="transfer_to_second")),
    )
    assert Runner.run_sync(first, "Hello!").last_agent.name == "Second"


def test_the_example_runs(example: Callable[[str], list[str]]) -> None:
    assert any(example("openai_agents_client.py"))
