# SPDX-License-Identifier: GPL-3.0-only
"""``modeld run`` with llama.cpp and a model that ``make models`` brings."""

from __future__ import annotations

from pathlib import Path

import pytest

from modeld.cli.main import ExitCode
from tests.cli.terminal import Terminal, modeld

SMOLLM2 = Path(__file__).parent.parent.parent / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf"

pytestmark = pytest.mark.model


def test_a_real_model_goes_on_with_a_prompt():
    prompt = "The capital of France is"
    done = modeld("run", str(SMOLLM2), prompt, "--max-tokens", "4", "--temperature", "0")
    assert done.returncode == ExitCode.OK, done.stderr
    assert "Paris" in done.stdout
    assert done.stderr.endswith("(cut after 4 tokens; see --max-tokens)\n")


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
