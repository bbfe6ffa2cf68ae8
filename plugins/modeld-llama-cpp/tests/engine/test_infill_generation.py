# SPDX-License-Identifier: GPL-3.0-only
"""What stands between a prompt and a suffix, through the real engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from driver import Driver, ask, is_clean
from tiny_gguf import BEFORE_MIDDLE, INFILL, PAD, Script, write_scripted

from modeld import FinishReason
from modeld.errors import NotSupportedError

Start = Callable[..., Driver]

SCRIPT: Script = {BEFORE_MIDDLE: b"m", b"m": b"n", b"n": b"o", b"o": PAD}


@pytest.fixture
def coder(tmp_path: Path, start: Start) -> Driver:
    return start(write_scripted(tmp_path / "coder.gguf", SCRIPT, named=INFILL))


@pytest.mark.parametrize("prompt", ["", "x", "x" * 3000])
def test_a_generation_is_what_stands_between_a_prompt_and_a_suffix(
    prompt: str, tmp_path: Path, start: Start
) -> None:
    path = write_scripted(tmp_path / "coder.gguf", SCRIPT, named=INFILL, context_length=4096)
    driver = start(path)
    generation = driver.read(ask(prompt, suffix="y"))
    assert (generation.text, generation.reason) == ("mno", FinishReason.STOP)
    assert generation.end.usage.prompt_tokens == len(prompt) + 5
    assert is_clean(driver)


def test_it_stops_and_is_constrained_as_any_other(coder: Driver) -> None:
    assert coder.read(ask("x", suffix="y", stop=("n",))).text == "m"
    assert coder.read(ask("x", suffix="y", max_tokens=2)).reason is FinishReason.LENGTH
    assert coder.read(ask("x", suffix="y", choice=("q", "r"))).text in {"q", "r"}


def test_what_both_begin_with_is_found_in_the_cache(coder: Driver) -> None:
    coder.read(ask("x" * 40, suffix="y"))
    again = coder.read(ask("x" * 40 + "z", suffix="y"))
    assert again.text == "mno"
    assert again.cached == 42


def test_a_model_that_cannot_fill_in_refuses_it(scripted: Path, start: Start) -> None:
    with pytest.raises(NotSupportedError) as refused:
        start(scripted).submit(ask("a", suffix="b"))
    assert refused.value.field == "suffix"
