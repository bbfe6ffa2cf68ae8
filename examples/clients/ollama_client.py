# SPDX-License-Identifier: GPL-3.0-only
"""Ollama's Python client with modeld: a chat, a stream, and a response with a form.

    pip install ollama
    modeld serve --models-dir models
    python examples/clients/ollama_client.py

``OLLAMA_HOST`` names another server than the one on this machine.
"""

import os

from ollama import Client, ResponseError
from pydantic import BaseModel

client = Client(host=os.environ.get("OLLAMA_HOST", "http://127.0.0.1:8080"))
model = client.list().models[0].model or ""

# A chat.
response = client.chat(
    model=model,
    messages=[{"role": "user", "content": "What is the capital of France?"}],
    options={"num_predict": 40},
)
print(response.message.content)

# A stream, with what it cost in its last piece.
for part in client.chat(
    model=model,
    messages=[{"role": "user", "content": "Count to five."}],
    options={"num_predict": 40},
    stream=True,
):
    print(part.message.content or "", end="", flush=True)
    if part.done:
        print(f"\n{part.eval_count} tokens")


# A response with a form, which is kept to in any case.
class Person(BaseModel):
    """What is to be found in a text."""

    name: str
    age: int


response = client.chat(
    model=model,
    messages=[{"role": "user", "content": "Bob is seven. As JSON:"}],
    format=Person.model_json_schema(),
    options={"num_predict": 60, "temperature": 0},
)
print(repr(Person.model_validate_json(response.message.content or "")))

# Errors say what to do, and have their real status.
try:
    client.chat(model="no-such-model", messages=[{"role": "user", "content": "Hello"}])
except ResponseError as exc:
    print(exc.status_code, exc.error)
