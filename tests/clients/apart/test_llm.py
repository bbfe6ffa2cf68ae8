# SPDX-License-Identifier: GPL-3.0-only
"""The command `llm`, unchanged, against a real server and a real model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[3] / "examples" / "clients" / "extra-openai-models.yaml"
LOCAL = "http://127.0.0.1:8080"
WEATHER = """
def weather(city: str) -> str:
    "Return the weather of a city."
    return f"It is sunny in {city}."
"""


@pytest.fixture(params=["", "  responses: true\n"], ids=["chats", "responses"])
def llm(server: str, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[..., str]:
    """Return what runs the command with the example's settings in a home of its own."""
    text = EXAMPLE.read_text() + request.param
    assert LOCAL in text
    (tmp_path / EXAMPLE.name).write_text(text.replace(LOCAL, server))

    def run(*words: str) -> str:
        done = subprocess.run(
            [str(Path(sys.executable).with_name("llm")), *words],
            env={**os.environ, "HOME": str(tmp_path), "LLM_USER_PATH": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def prompt(*words: str) -> tuple[str, ...]:
    return ("-m", "smollm2", "-o", "temperature", "0", "-o", "max_tokens", "40", *words)


def test_the_model_is_listed(llm: Callable[..., str]) -> None:
    assert "smollm2" in llm("models", "list")


def test_a_prompt_streams_and_gives_the_same_text_in_one_piece(llm: Callable[..., str]) -> None:
    command = prompt("What is the capital of France?")
    assert llm(*command).strip()
    assert llm(*command) == llm(*command, "--no-stream")


def test_a_chat_goes_on(llm: Callable[..., str]) -> None:
    llm(*prompt("My name is Bob.", "-s", "You are brief."))
    assert llm(*prompt("What is my name?", "-c")).strip()
    assert len(json.loads(llm("logs", "list", "-c", "--json", "-n", "0"))) == 2


def test_a_response_has_a_form(llm: Callable[..., str]) -> None:
    person = json.loads(llm(*prompt("Bob is seven. As JSON:", "--schema", "name, age int")))
    assert isinstance(person["name"], str)
    assert isinstance(person["age"], int)


def test_a_tool_can_be_offered(llm: Callable[..., str]) -> None:
    assert llm(*prompt("How is the weather in Paris?", "--functions", WEATHER)).strip()
