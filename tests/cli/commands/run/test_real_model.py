# SPDX-License-Identifier: GPL-3.0-only
"""``modeld run`` with llama.cpp and a model that ``make models`` brings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modeld.cli.main import ExitCode
from tests.support.cli.terminal import Terminal, modeld

SMOLLM2 = Path(__file__).parents[4] / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"

pytestmark = pytest.mark.model


def test_a_real_model_goes_on_with_a_prompt():
    prompt = "The capital of France is"
    done = modeld("run", str(SMOLLM2), prompt, "--max-tokens", "4", "--temperature", "0")
    assert done.returncode == ExitCode.OK, done.stderr
    assert "Paris" in done.stdout
    assert done.stderr.endswith("(cut after 4 tokens; see --max-tokens)\n")


def test_a_real_model_answers_as_a_schema_says():
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}, "required": ["age"]}
    options = ("--json-schema", json.dumps(schema), "--max-tokens", "40", "--temperature", "0")
    done = modeld("run", str(SMOLLM2), "Bob is seven years old. As JSON: ", *options)
    assert done.returncode == ExitCode.OK, done.stderr
    assert isinstance(json.loads(done.stdout)["age"], int)


def test_a_real_model_takes_a_grammar_from_a_file(tmp_path):
    grammar = tmp_path / "colour.gbnf"
    grammar.write_text('root ::= "red" | "blue"')
    done = modeld("run", str(SMOLLM2), "The sky is", "--grammar-file", str(grammar))
    assert done.returncode == ExitCode.OK, done.stderr
    assert done.stdout.strip() in {"red", "blue"}


def test_a_real_model_chooses_one_of_some_texts(tmp_path):
    lark = tmp_path / "colour.lark"
    lark.write_text('start: "red" | "blue"')
    for options in (["--choice", "red", "--choice", "blue"], ["--lark", str(lark)]):
        done = modeld("run", str(SMOLLM2), "The sky is", *options)
        assert done.returncode == ExitCode.OK, done.stderr
        assert done.stdout.strip() in {"red", "blue"}


def test_a_grammar_that_is_none_is_refused(tmp_path):
    grammar = tmp_path / "broken.gbnf"
    grammar.write_text("root ::= (((")
    done = modeld("run", str(SMOLLM2), "The sky is", "--grammar-file", str(grammar))
    assert (done.returncode, done.stdout) == (ExitCode.FAILED, "")
    assert "grammar" in done.stderr.splitlines()[-1]


def test_a_real_model_chats_on_a_terminal():
    options = ("--max-tokens", "12", "--temperature", "0")
    with Terminal("run", str(SMOLLM2), *options) as terminal:
        terminal.wait_for("100%")
        terminal.wait_for("> ")
        terminal.type("Hi\n")
        terminal.wait_for("Hello")
        terminal.wait_for("> ")
        terminal.type("\x04")
        assert terminal.wait() == ExitCode.OK
