# SPDX-License-Identifier: GPL-3.0-only
"""OpenAI's Python client with modeld: a chat, a stream, a form, and responses.

    pip install openai
    modeld serve --models-dir models
    python examples/clients/openai_client.py

``OPENAI_BASE_URL`` names another server than the one on this machine.
"""

import os

from openai import NotFoundError, OpenAI
from pydantic import BaseModel

client = OpenAI(
    base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1"),
    api_key="unused",  # or a key of the server, where it wants one
)
model = client.models.list().data[0].id

# A chat.
response = client.chat.completions.create(
    model=model,
    messages=[{"role": "user", "content": "What is the capital of France?"}],
    max_tokens=40,
)
print(response.choices[0].message.content)

# A stream, with what it cost in its last chunk.
for chunk in client.chat.completions.create(
    model=model,
    messages=[{"role": "user", "content": "Count to five."}],
    max_tokens=40,
    stream=True,
    stream_options={"include_usage": True},
):
    for choice in chunk.choices:
        print(choice.delta.content or "", end="", flush=True)
    if chunk.usage:
        print(f"\n{chunk.usage.completion_tokens} tokens")


# A form.
class Person(BaseModel):
    """What is to be found in a text."""

    name: str
    age: int


parsed = client.chat.completions.parse(
    model=model,
    messages=[{"role": "user", "content": "Bob is seven. As JSON:"}],
    response_format=Person,
    max_tokens=60,
    temperature=0,
)
print(parsed.choices[0].message.parsed)

# Responses: the server keeps the chat, and the next one goes on from it.
first = client.responses.create(
    model=model, input="What is the capital of France?", max_output_tokens=40
)
second = client.responses.create(
    model=model, input="And of Spain?", previous_response_id=first.id, max_output_tokens=40
)
print(second.output_text)

# What only modeld has.
response = client.chat.completions.create(
    model=model,
    messages=[{"role": "user", "content": "Is Paris in France?"}],
    extra_body={"choice": ["yes", "no"], "top_k": 1},
)
print(response.choices[0].message.content)

# What went wrong.
try:
    client.models.retrieve("nobody")
except NotFoundError as error:
    print(error.code)
