# SPDX-License-Identifier: GPL-3.0-only
"""Pydantic AI, unchanged, against a real server and a real model."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from pydantic import BaseModel, Field
from pydantic_ai import (
    Agent,
    ModelContextWindowExceededError,
    ModelHTTPError,
    ModelSettings,
    NativeOutput,
    RunContext,
    ToolOutput,
)
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"


class Person(BaseModel):
    """A person."""

    name: str = Field(max_length=20)
    age: int


def model(server: str, name: str = MODEL) -> OpenAIChatModel:
    return OpenAIChatModel(
        name,
        provider=OpenAIProvider(base_url=f"{server}/v1", api_key="unused"),
        settings={"temperature": 0, "seed": 1, "max_tokens": 60},
    )


def first_the_weather(context: RunContext[None]) -> ModelSettings:
    """Return what has the tool called in the first step, and a text said in the second."""
    return {"tool_choice": ["weather"] if context.run_step == 1 else "none"}


def test_a_text(server: str) -> None:
    result = Agent(model(server), instructions="You are brief.").run_sync("Who are you?")
    assert result.output
    assert result.usage.output_tokens <= 60


def test_a_stream(server: str) -> None:
    async def go() -> list[str]:
        async with Agent(model(server)).run_stream("Who are you?") as result:
            return [text async for text in result.stream_text(delta=True, debounce_by=None)]

    assert len(asyncio.run(go())) > 1


@pytest.mark.parametrize("output", [NativeOutput, ToolOutput])
def test_the_output_has_a_type(
    server: str, output: type[NativeOutput[Person]] | type[ToolOutput[Person]]
) -> None:
    agent = Agent(model(server), output_type=output(Person))
    assert isinstance(agent.run_sync("Bob is seven. As JSON:").output, Person)


def test_a_tool_is_called_and_its_result_is_taken(server: str) -> None:
    cities = []
    agent = Agent(model(server), model_settings=first_the_weather)

    @agent.tool_plain
    def weather(city: str) -> str:
        """Return the weather of a city."""
        cities.append(city)
        return f"It is sunny in {city}."

    assert agent.run_sync("How is the weather in Paris?").output
    assert cities


def test_an_unknown_model_is_not_found(server: str) -> None:
    with pytest.raises(ModelHTTPError) as caught:
        Agent(model(server, "none")).run_sync("Who are you?")
    assert caught.value.status_code == 404


def test_a_prompt_that_is_too_long_is_known_as_such(server: str) -> None:
    with pytest.raises(ModelContextWindowExceededError):
        Agent(model(server)).run_sync("hello " * 9000)


def test_the_example_runs(example: Callable[[str], list[str]]) -> None:
    (person,) = example("pydantic_ai_client.py")
    assert person.startswith("name=")
