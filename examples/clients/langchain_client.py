# SPDX-License-Identifier: GPL-3.0-only
"""LangChain with modeld: a chat, a stream, a tool, and a response with a form.

    pip install langchain-openai
    modeld serve --models-dir models
    python examples/clients/langchain_client.py

``OPENAI_BASE_URL`` names another server than the one on this machine.
"""

import os

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

llm = ChatOpenAI(
    model="SmolLM2-135M-Instruct.Q4_1.gguf",  # an id from GET /v1/models
    base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1"),
    api_key="unused",  # or a key of the server, where it wants one
    temperature=0,
    max_tokens=60,
)

# A chat.
print(llm.invoke("What is the capital of France?").content)

# A stream.
for chunk in llm.stream("Count to five."):
    print(chunk.content, end="", flush=True)
print()


# A tool that must be called.
@tool
def weather(city: str) -> str:
    """Return the weather of a city."""
    return f"It is sunny in {city}."


message = llm.bind_tools([weather], tool_choice="weather").invoke("How is the weather in Paris?")
for call in message.tool_calls:
    print(weather.invoke(call["args"]))


# A form.
class Person(BaseModel):
    """What is to be found in a text."""

    name: str
    age: int


print(llm.with_structured_output(Person).invoke("Bob is seven. As JSON:"))
