# SPDX-License-Identifier: GPL-3.0-only
"""What a request says about sampling shows in the engine's generations."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from driver import Driver, ask
from sampling_fields import sampling_of
from tiny_gguf import EOS, token_of

from modeld import FinishReason, Sampling

Start = Callable[..., Driver]

WILD = {"temperature": 5.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}


def test_without_a_seed_generations_differ(random: Path, start: Start) -> None:
    requests = [ask("a", sampling=Sampling(**WILD), max_tokens=20) for _ in range(2)]
    first, second = start(random).run(*requests)
    assert first.text != second.text


def test_with_a_seed_generations_repeat(random: Path, start: Start) -> None:
    driver = start(random)
    wild = Sampling(**WILD, seed=11)
    first, second = driver.run(*[ask("a", sampling=wild, max_tokens=20) for _ in range(2)])
    other = driver.read(ask("a", sampling=Sampling(**WILD, seed=12), max_tokens=20))
    assert first.text == second.text != other.text


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=0.0),
        Sampling(temperature=5.0, top_k=1),
        Sampling(temperature=5.0, top_k=0, top_p=1e-6),
        Sampling(temperature=5.0, top_k=0, top_p=1.0, min_p=1.0),
        sampling_of(temperature=5.0, top_n_sigma=1e-6),
    ],
)
def test_what_leaves_only_the_best_token_is_greedy(
    sampling: Sampling, random: Path, start: Start
) -> None:
    driver = start(random)
    greedy = driver.read(ask("hello", max_tokens=20)).text
    assert driver.read(ask("hello", max_tokens=20, sampling=sampling)).text == greedy


def test_the_repeat_penalty_keeps_tokens_from_coming_back(random: Path, start: Start) -> None:
    punished = Sampling(temperature=0.0, repeat_penalty=10.0, presence_penalty=2.0)
    text = start(random).read(ask("abcdefgh", max_tokens=30, sampling=punished)).text
    assert len(set(text)) == 30
    assert not set(text) & set("abcdefgh")


@pytest.mark.parametrize(
    "wish", [{"ignore_eos": True}, {"logit_bias": ((EOS, None),)}, {"logit_bias": ((EOS, -99.0),)}]
)
def test_a_generation_whose_end_is_banned_goes_on(
    wish: dict[str, object], scripted: Path, start: Start
) -> None:
    driver = start(scripted)
    assert driver.read(ask("w", max_tokens=20)).text == "xyz"
    generation = driver.read(ask("w", max_tokens=20, sampling=Sampling(temperature=0.0, **wish)))
    assert generation.text.startswith("xyz")
    assert generation.reason is FinishReason.LENGTH


def test_a_biased_token_changes_the_generation(scripted: Path, start: Start) -> None:
    sampling = Sampling(temperature=0.0, logit_bias=((token_of(b"!"), 100.0),))
    assert start(scripted).read(ask("a", max_tokens=3, sampling=sampling)).text == "!!!"


def test_a_grammar_leads_the_generation_and_ends_it(scripted: Path, start: Start) -> None:
    generation = start(scripted).read(ask("a", grammar='root ::= "b" [x-z]+ "!"', max_tokens=20))
    assert generation.text.startswith("b")
    assert generation.text.rstrip("!").strip("xyz") == "b"
