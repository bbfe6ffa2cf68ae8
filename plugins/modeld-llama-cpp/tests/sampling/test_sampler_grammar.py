# SPDX-License-Identifier: GPL-3.0-only
"""A grammar decides what may come, the chain what comes of it."""

from __future__ import annotations

import numpy as np
import pytest
from modeld_llama_cpp.sampling.logits import Row
from modeld_llama_cpp.sampling.sampler import Sampler
from sampler_rig import FALLING, OFF, A, B, C, D, SamplerFor, noise, row, seen, shares
from wide_vocabulary import BOS, EOS, SIZE, token_of, word

from modeld.errors import InvalidRequestError

WORDS = 'root ::= ("yes" | "no") "!"'


def write(sampler: Sampler, logits: Row, most: int = 20) -> bytes:
    """What comes until the end when the model always says the same."""
    text = b""
    while len(text) < most and (token := sampler.choose(logits)) != EOS:
        text += bytes([token - 3])
    return text


@pytest.mark.parametrize(
    "fields", [{"temperature": 0.0}, {}, OFF, {"mirostat": 1}, {"mirostat": 2}]
)
def test_a_grammar_is_followed_against_the_models_will(
    fields: dict[str, float], sampler_for: SamplerFor
) -> None:
    logits = noise(1)
    assert write(sampler_for(grammar=WORDS, **fields), logits) in {b"yes!", b"no!"}


def test_the_models_likeliest_choice_within_the_grammar_is_taken(sampler_for: SamplerFor) -> None:
    logits = row({token_of(b"n"): -5.0, token_of(b"y"): -6.0, A: 10.0, EOS: 9.0}, -50.0)
    assert write(sampler_for(grammar=WORDS, temperature=0.0), logits) == b"no!"


def test_what_the_grammar_leaves_is_sampled_as_ever(sampler_for: SamplerFor) -> None:
    logits = shares(FALLING)
    two = sampler_for(grammar="root ::= [b-d]*", **(OFF | {"top_k": 2}))
    assert seen(two, logits) == {B, C}
    likely = sampler_for(grammar="root ::= [abd]*", **(OFF | {"min_p": 0.2}))
    assert seen(likely, logits) == {A, B}


def test_after_the_end_of_the_grammar_only_an_end_token_comes(sampler_for: SamplerFor) -> None:
    sampler = sampler_for(grammar='root ::= "a"', temperature=0.0)
    logits = row({A: 5.0, BOS: 9.0, EOS: -900.0})
    assert [sampler.choose(logits), sampler.choose(logits)] == [A, EOS]


def test_an_end_token_comes_no_sooner_than_the_grammar_allows(sampler_for: SamplerFor) -> None:
    sampler = sampler_for(grammar='root ::= "ab"', temperature=0.0)
    logits = row({EOS: 50.0, B: 1.0, A: 1.0})
    assert [sampler.choose(logits) for _ in range(3)] == [A, B, EOS]


@pytest.mark.parametrize("fields", [{"ignore_eos": True}, {"logit_bias": ((EOS, None),)}])
def test_a_finished_grammar_ends_the_generation_though_ends_are_banned(
    fields: dict[str, object], sampler_for: SamplerFor
) -> None:
    sampler = sampler_for(grammar='root ::= "a"', **fields)
    assert [sampler.choose(row({A: 5.0})) for _ in range(2)] == [A, EOS]


def test_ignore_eos_holds_where_a_grammar_can_go_on(sampler_for: SamplerFor) -> None:
    sampler = sampler_for(grammar="root ::= [ab]*", ignore_eos=True)
    assert seen(sampler, row({EOS: 50.0, A: 1.0, B: 1.0})) == {A, B}


def test_a_grammar_with_all_its_tokens_banned_is_an_error_of_the_request(
    sampler_for: SamplerFor,
) -> None:
    sampler = sampler_for(grammar='root ::= "ab"', logit_bias=((B, None),), temperature=0.0)
    assert sampler.choose(row({B: 5.0})) == A
    with pytest.raises(InvalidRequestError, match="no token of the model can go on") as caught:
        sampler.choose(row({B: 5.0}))
    assert caught.value.field == "grammar"


def test_penalties_and_biases_hold_within_a_grammar(sampler_for: SamplerFor) -> None:
    logits = row({A: 5.0, B: 4.0, C: 3.0, D: 100.0}, others=0.0)
    punished = sampler_for(grammar="root ::= [a-c]*", temperature=0.0, presence_penalty=2.0)
    assert [punished.choose(logits) for _ in range(3)] == [A, B, A]
    biased = sampler_for(grammar="root ::= [a-c]*", temperature=0.0, logit_bias=((C, 50.0),))
    assert biased.choose(logits) == C


def test_what_ranks_far_below_is_found(sampler_for: SamplerFor) -> None:
    """One allowed token after all others, which are likelier."""
    logits = np.linspace(10.0, 0.0, SIZE, dtype=np.float32)
    logits[A] = -30.0
    for fields in ({"temperature": 0.0}, {}, OFF):
        assert sampler_for(grammar='root ::= "a"', **fields).choose(logits) == A


def test_long_tokens_are_matched_as_text(sampler_for: SamplerFor) -> None:
    assert word(300) == "o300"
    sampler = sampler_for(grammar='root ::= "o300" "a"', temperature=0.0)
    logits = row({300: 9.0, token_of(b"o"): 8.0, 301: 10.0, A: 7.0})
    assert [sampler.choose(logits), sampler.choose(logits)] == [300, A]
