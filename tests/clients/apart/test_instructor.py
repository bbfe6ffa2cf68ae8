# SPDX-License-Identifier: GPL-3.0-only
"""Instructor, unchanged, against a real server and a real model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import instructor
import pytest
from openai import OpenAI
from pydantic import BaseModel, Field

MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
TURN = {"role": "user", "content": "Bob is seven and has a dog. As JSON:"}


class Person(BaseModel):
    """A person."""

    name: str = Field(max_length=20)
    age: int = Field(ge=0, le=120)
    pet: Literal["cat", "dog"]


class Pet(BaseModel):
    """A pet, of which a weak model would name one after another."""

    kind: Literal["cat", "dog"]


@pytest.fixture
def openai(server: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server}/v1", api_key="unused", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("mode", [instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA])
def test_a_response_is_an_object(openai: OpenAI, mode: instructor.Mode) -> None:
    person = instructor.from_openai(openai, mode=mode).chat.completions.create(
        model=MODEL,
        response_model=Person,
        messages=[TURN],
        max_tokens=100,
        max_retries=0,
        temperature=0,
    )
    assert isinstance(person, Person)


def test_a_form_of_one_word_is_filled_in_once(openai: OpenAI) -> None:
    pet = instructor.from_openai(openai, mode=instructor.Mode.TOOLS).chat.completions.create(
        model=MODEL, response_model=Pet, messages=[TURN], max_retries=0, temperature=0
    )
    assert isinstance(pet, Pet)


def test_a_stream_of_parts_ends_with_the_whole(openai: OpenAI) -> None:
    client = instructor.from_openai(openai, mode=instructor.Mode.JSON_SCHEMA)
    parts = list(
        client.chat.completions.create_partial(
            model=MODEL, response_model=Person, messages=[TURN], max_tokens=100, temperature=0
        )
    )
    assert Person.model_validate(parts[-1].model_dump())


def test_the_example_runs(example: Callable[[str], list[str]]) -> None:
    (person,) = example("instructor_client.py")
    assert person.startswith("name=")
