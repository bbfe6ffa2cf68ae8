# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from driver import Driver, ask
from modeld_llama_cpp.sampling import Choice, decide

from modeld import Sampling
from modeld.errors import InvalidRequestError


def test_without_a_wish_llama_cpps_defaults_hold() -> None:
    choice = decide(Sampling(seed=7))
    assert choice == Choice(
        temperature=0.8, top_k=40, top_p=0.95, min_p=0.05, repeat_penalty=1.0, seed=7
    )


def test_a_wish_wins_over_the_default_and_zero_is_a_wish() -> None:
    choice = decide(Sampling(temperature=0.0, top_k=0, top_p=0.0, min_p=0.0, seed=0))
    assert choice == Choice(temperature=0.0, top_k=0, top_p=0.0, min_p=0.0, seed=0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("temperature", -0.1),
        ("top_p", math.nan),
        ("top_p", 1.1),
        ("top_p", -0.1),
        ("top_k", -1),
        ("top_k", 2**31),
        ("min_p", 2.0),
        ("min_p", math.nan),
        ("repeat_penalty", 0.0),
        ("repeat_penalty", -math.inf),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(InvalidRequestError, match=f"^{field} is .*it must be from") as caught:
        decide(Sampling(**{field: value}))
    assert caught.value.field == field


@pytest.mark.parametrize("seed", [0, 1, -1, 2**32 - 1, 2**32, 2**63, -(2**63)])
def test_every_seed_is_one_that_llama_cpp_repeats(seed: int) -> None:
    assert 0 <= decide(Sampling(seed=seed)).seed < 2**32 - 1


def test_without_a_seed_answers_differ(random: Path, start: Callable[..., Driver]) -> None:
    driver = start(random)
    wild = Sampling(temperature=5.0, top_k=0, top_p=1.0, min_p=0.0)
    first, second = driver.run(*[ask("a", sampling=wild, max_tokens=20) for _ in range(2)])
    assert first.text != second.text


def test_with_a_seed_answers_repeat(random: Path, start: Callable[..., Driver]) -> None:
    driver = start(random)
    wild = Sampling(temperature=5.0, top_k=0, top_p=1.0, min_p=0.0, seed=11)
    first, second = driver.run(*[ask("a", sampling=wild, max_tokens=20) for _ in range(2)])
    other = driver.read(ask("a", sampling=Sampling(temperature=5.0, seed=12), max_tokens=20))
    assert first.text == second.text != other.text


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=0.0),
        Sampling(temperature=9.0, top_k=1),
        Sampling(temperature=9.0, top_k=0, top_p=0.0),
        Sampling(temperature=9.0, top_k=0, top_p=1.0, min_p=1.0),
    ],
)
def test_what_leaves_only_the_best_token_is_greedy(
    sampling: Sampling, random: Path, start: Callable[..., Driver]
) -> None:
    driver = start(random)
    greedy = driver.read(ask("hello", max_tokens=20)).text
    assert driver.read(ask("hello", max_tokens=20, sampling=sampling)).text == greedy


def test_the_repeat_penalty_keeps_tokens_from_coming_back(
    random: Path, start: Callable[..., Driver]
) -> None:
    driver = start(random)
    punished = Sampling(temperature=0.0, repeat_penalty=100.0)
    text = driver.read(ask("abcdefgh", max_tokens=30, sampling=punished)).text
    assert len(set(text)) == 30
    assert not set(text) & set("abcdefgh")
