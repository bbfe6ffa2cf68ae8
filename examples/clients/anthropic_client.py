# SPDX-License-Identifier: GPL-3.0-only
"""Anthropic's Python client with modeld: a message, a stream, a tool, and a response with a form.

    pip install anthropic
    modeld serve --models-dir models
    python examples/clients/anthropic_client.py

``ANTHROPIC_BASE_URL`` names another server than the one on this machine.
"""

import json
import os

from anthropic import Anthropic, NotFoundError

client = Anthropic(
    base_url=os.environ.get("ANTHROPIC_BASE_URL", "http://127.0.0.1:8080"),
    api_key="unused",  # or a key of the server, where it wants one
)
model = "SmolLM2-135M-Instruct.Q4_1.gguf"  # an id from GET /models
turn = {"role": "user", "content": "What is the capital of France?"}

# A message.
message = client.messages.create(model=model, max_tokens=40, messages=[turn])
print(message.content[0].text)

# A stream, with what it cost at its end.
with client.messages.stream(model=model, max_tokens=40, messages=[turn]) as stream:
    for text in stream.text_stream:
        print(text, end="", flush=True)
    print(f"\n{stream.get_final_message().usage.output_tokens} tokens")

# A tool that must be called.
weather = {
    "name": "weather",
    "description": "Tell the weather of a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"enum": ["Paris", "Rome"]}},
        "required": ["city"],
    },
}
message = client.messages.create(
    model=model,
    max_tokens=100,
    messages=[{"role": "user", "content": "How is the weather in Paris?"}],
    tools=[weather],
    tool_choice={"type": "tool", "name": "weather", "disable_parallel_tool_use": True},
    extra_body={"temperature": 0},
)
print(message.content[-1].input)

# A form.
person = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"enum": [6, 7, 8]}},
    "required": ["name", "age"],
}
message = client.messages.create(
    model=model,
    max_tokens=60,
    messages=[{"role": "user", "content": "Bob is seven. As JSON:"}],
    output_config={"format": {"type": "json_schema", "schema": person}},
    extra_body={"temperature": 0},
)
print(json.loads(message.content[0].text))

# What only modeld has.
message = client.messages.create(
    model=model,
    max_tokens=5,
    messages=[{"role": "user", "content": "Is Paris in France?"}],
    extra_body={"choice": ["yes", "no"], "top_k": 1},
)
print(message.content[0].text)

# What went wrong.
try:
    client.messages.create(model="nobody", max_tokens=5, messages=[turn])
except NotFoundError as error:
    print(error.error_code)
