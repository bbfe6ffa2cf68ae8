# SPDX-License-Identifier: GPL-3.0-only
"""Instructor with modeld: a text becomes an object.

    pip install instructor
    modeld serve --models-dir models
    python examples/clients/instructor_client.py

``OPENAI_BASE_URL`` names another server than the one on this machine.
"""

import os

import instructor
from openai import OpenAI
from pydantic import BaseModel

client = instructor.from_openai(
    OpenAI(
        base_url=os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1"),
        api_key="unused",  # or a key of the server, where it wants one
    ),
    mode=instructor.Mode.JSON_SCHEMA,
)


class Person(BaseModel):
    """What is to be found in a text."""

    name: str
    age: int


person = client.chat.completions.create(
    model="SmolLM2-135M-Instruct.Q4_1.gguf",  # an id from GET /v1/models
    response_model=Person,
    messages=[{"role": "user", "content": "Bob is seven. As JSON:"}],
    max_tokens=60,
    temperature=0,
)
print(person)
