# SPDX-License-Identifier: GPL-3.0-only
"""OpenAI's Agents SDK, unchanged, against a real server and a real model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI
from pydantic import BaseModel

MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
SETTINGS = ModelSettings(temperature=0, max_tokens=60, include_usage=True)

set_tracing_disabled(True)


class Person(BaseModel):
    """A person."""

    name: str
    age: int


@pytest.fixture
def model(server: str) -> OpenAIChatCompletionsModel:
    client = AsyncOpenAI(base_url=f"{server}/v1", api_key="unused", max_retries=0)
    return OpenAIChatCompletionsModel(model=MODEL, openai_client=client)


def test_a_text(model: OpenAIChatCompletionsModel) -> None:
    agent = Agent(name="A", instructions="You are brief.", model=model, model_settings=SETTINGS)
    result = Runner.run_sync(agent, "Who are you?")
    assert result.final_output
    assert result.context_wrapper.usage.output_tokens <= 60


def test_a_stream(model: OpenAIChatCompletionsModel) -> None:
    async def go() -> list[str]:
        agent = Agent(name="A", model=model, model_settings=SETTINGS)
        result = Runner.run_streamed(agent, "Who are you?")
        return [event.type async for event in result.stream_events()]

    kinds = asyncio.run(go())
    assert kinds.count("raw_response_event") > 3
    assert "run_item_stream_event" in kinds


def test_the_output_has_a_type(model: OpenAIChatCompletionsModel) -> None:
    agent = Agent(name="A", model=model, model_settings=SETTINGS, output_type=Person)
    assert isinstance(Runner.run_sync(agent, "Bob is seven. As JSON:").final_output, Person)


def test_a_tool_is_called_and_its_result_is_taken(model: OpenAIChatCompletionsModel) -> None:
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


def test_one_agent_hands_over_to_another(model: OpenAIChatCompletionsModel) -> None:
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
