# SPDX-License-Identifier: GPL-3.0-only
"""Pydantic AI with modeld: an agent whose output has a form.

    pip install 'pydantic-ai-slim[openai]'
    modeld serve --models-dir models
    python examples/clients/pydantic_ai_client.py

``OPENAI_BASE_URL`` names another server than the one on this machine.
"""

import os

from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

model = OpenAIChatModel(
    "SmolLM2-135M-Instruct.Q4_1.gguf",  # an id from GET /v1/models
    provider=OpenAIProvider(
        base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1"),
        api_key="unused",  # or a key of the server, where it wants one
    ),
    settings={"temperature": 0, "max_tokens": 60},
)


# A form.
class Person(BaseModel):
    """What is to be found in a text."""

    name: str
    age: int


agent = Agent(model, output_type=NativeOutput(Person))
print(agent.run_sync("Bob is seven. As JSON:").output)
