# SPDX-License-Identifier: GPL-3.0-only
"""A model with a recurrent state, which can be neither cut nor shared in parts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from driver import Driver, ask
from tiny_recurrent import write_mamba

Start = Callable[..., Driver]
PROMPTS = ("one", "two and more " * 6, "three", "the last of them")


@pytest.fixture(scope="module")
def mamba(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_mamba(tmp_path_factory.mktemp("mamba") / "mamba.gguf")


def letters(prompt: str, **fields: object) -> object:
    """A request for letters only, so that a generation can be sent again as text."""
    return ask(prompt, max_tokens=8, grammar="root ::= [a-z]+", **fields)


def test_generations_come_from_the_state_of_their_own_prompt(mamba: Path, start: Start) -> None:
    plain = start(mamba, cache_tokens=0)
    alone = [plain.read(ask(prompt, max_tokens=16)).text for prompt in PROMPTS]
    assert len(set(alone)) == len(PROMPTS)
    together = start(mamba, ubatch=8)
    for _ in range(2):
        generations = together.run(*[ask(prompt, max_tokens=16) for prompt in PROMPTS])
        assert [generation.text for generation in generations] == alone


def test_a_chat_goes_on_from_the_state_that_its_last_turn_left(mamba: Path, start: Start) -> None:
    driver = start(mamba)
    first = driver.read(letters("A request. "))
    following = "A request. " + first.text + "; and then?"
    second = driver.read(letters(following))
    assert second.cached == len("A request. ") + len(first.text)
    assert second.text == start(mamba, cache_tokens=0).read(letters(following)).text


def test_a_state_serves_no_prompt_that_only_begins_like_its_own(mamba: Path, start: Start) -> None:
    driver = start(mamba)
    driver.read(ask("The same beginning, and an end.", max_tokens=4))
    other = driver.read(ask("The same beginning, and another end.", max_tokens=4))
    assert other.cached == 0
