# SPDX-License-Identifier: GPL-3.0-only
"""OpenAI's Agents SDK with modeld: an agent that calls a tool.

    pip install openai-agents
    modeld serve --models-dir models
    python examples/clients/openai_agents_client.py

``OPENAI_BASE_URL`` names another server than the one on this machine.
"""

import os

from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI

set_tracing_disabled(True)  # traces would go to OpenAI
model = OpenAIChatCompletionsModel(
    model="SmolLM2-135M-Instruct.Q4_1.gguf",  # an id from GET /v1/models
    openai_client=AsyncOpenAI(
        base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1"),
        api_key="unused",  # or a key of the server, where it wants one
    ),
)


@function_tool
def weather(city: str) -> str:
    """Return the weather of a city."""
    return f"It is sunny in {city}."


agent = Agent(
    name="Forecaster",
    instructions="Say how the weather is.",
    model=model,
    tools=[weather],
    model_settings=ModelSettings(temperature=0, max_tokens=60, tool_choice="weather"),
)
result = Runner.run_sync(agent, "How is the weather in Paris?")
print(result.final_output)
