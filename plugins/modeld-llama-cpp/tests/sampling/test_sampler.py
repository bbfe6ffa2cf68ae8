# SPDX-License-Identifier: GPL-3.0-only
"""Each of llama.cpp's samplers has its effect. The logits are made up, the rest is real."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest
from modeld_llama_cpp.sampling.logits import Row
from modeld_llama_cpp.sampling.parameters import decide
from modeld_llama_cpp.sampling.sampler import Samplers
from sampler_rig import FALLING, OFF, A, B, C, D, SamplerFor, X, noise, row, seen, shares
from wide_vocabulary import EOS, SIZE

from modeld import Sampling
from modeld.errors import InternalError, InvalidRequestError

LONG_TAIL = row({300 + n: -1.2 * math.log(n + 1) for n in range(1000)})
"""Falls as the frequencies of words do, which Mirostat was made for."""


def test_with_all_off_every_token_can_come(sampler_for: SamplerFor) -> None:
    assert seen(sampler_for(**OFF), shares(FALLING)) == {A, B, C, D}


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ({"top_k": 1}, {A}),
        ({"top_k": 3}, {A, B, C}),
        ({"top_p": 0.7}, {A, B}),
        ({"top_p": 0.001}, {A}),
        ({"min_p": 0.2}, {A, B, C}),
        ({"min_p": 1.0}, {A}),
        ({"xtc_probability": 1.0}, {C, D}),
        ({"xtc_probability": 1.0, "xtc_threshold": 0.04}, {D}),
        ({"xtc_probability": 1.0, "xtc_threshold": 0.51}, {A, B, C, D}),
        ({"temperature": 0.0}, {A}),
        ({"temperature": 0.0, "xtc_probability": 1.0, "dynatemp_range": 5.0}, {A}),
        ({"temperature": 0.0, "mirostat": 2}, {A}),
    ],
)
def test_what_drops_tokens_leaves_the_right_ones(
    fields: dict[str, float], left: set[int], sampler_for: SamplerFor
) -> None:
    assert seen(sampler_for(**(OFF | fields)), shares(FALLING)) == left


def test_typical_p_drops_what_is_likelier_than_usual(sampler_for: SamplerFor) -> None:
    many = dict.fromkeys(range(1000, 1060), 0.6 / 60)
    logits = shares({A: 0.4} | many)
    assert A in seen(sampler_for(**OFF), logits)
    assert A not in seen(sampler_for(**OFF, typical_p=0.5), logits)


def test_top_n_sigma_counts_standard_deviations_from_the_best(sampler_for: SamplerFor) -> None:
    logits = noise(5, 1.0)
    limit = logits.max() - 0.5 * logits.std()
    hot = OFF | {"temperature": 5.0}
    within = set(np.flatnonzero(logits >= limit).tolist())
    assert 1 < len(within) < 20
    assert seen(sampler_for(**hot, top_n_sigma=0.5), logits) == within


def test_a_higher_temperature_is_more_varied(sampler_for: SamplerFor) -> None:
    def rare(temperature: float) -> int:
        sampler = sampler_for(**OFF | {"temperature": temperature})
        return [sampler.choose(row({A: 5.0, B: 0.0})) for _ in range(500)].count(B)

    assert rare(0.5) < rare(2.0) < rare(5.0)


def test_dynamic_temperature_is_low_where_the_model_is_sure(sampler_for: SamplerFor) -> None:
    sure, unsure = shares({A: 0.9, B: 0.1}), shares({A: 0.4, B: 0.2, C: 0.2, D: 0.2})

    def best(logits: Row, **fields: float) -> int:
        sampler = sampler_for(**OFF | {"top_k": 4}, **fields)
        return [sampler.choose(logits) for _ in range(500)].count(A)

    assert best(sure, dynatemp_range=1.0) > best(sure)
    assert best(unsure, dynatemp_range=1.0) < best(unsure)
    assert best(unsure, dynatemp_range=1.0, dynatemp_exponent=10.0) > best(
        unsure, dynatemp_range=1.0
    )


def test_arithmetic_that_overflows_in_llama_cpp_gives_the_best_token(
    sampler_for: SamplerFor,
) -> None:
    logits = row(dict.fromkeys(range(300, 400), 0.0) | {A: 30.0, B: 5.0})
    sampler = sampler_for(**(OFF | {"top_k": 40}), dynatemp_range=1.0, dynatemp_exponent=4.0)
    assert sampler.choose(logits) == A


@pytest.mark.parametrize("fields", [{"repeat_penalty": 2.0}, {"logit_bias": ((A, -3.0),)}])
def test_arithmetic_that_has_overflowed_does_not_touch_the_next_request(
    fields: dict[str, object], sampler_for: SamplerFor
) -> None:
    logits = row(dict.fromkeys(range(300, 400), 0.0) | {A: 30.0, B: 5.0})
    wild = sampler_for(**(OFF | {"top_k": 40}), dynatemp_range=1.0, dynatemp_exponent=4.0)
    wild.choose(logits)
    sampler = sampler_for(temperature=0.0, **fields)
    sampler.accept_prompt([A])
    assert sampler.choose(row({A: 5.0, B: 4.0})) == B


@pytest.mark.parametrize("version", [1, 2])
def test_mirostat_replaces_what_drops_tokens(version: int, sampler_for: SamplerFor) -> None:
    fields = {"top_k": 1, "top_p": 0.001, "min_p": 1.0, "top_n_sigma": 0.001, "typical_p": 0.001}
    assert len(seen(sampler_for(**fields, mirostat=version), LONG_TAIL)) > 20


@pytest.mark.parametrize("version", [1, 2])
def test_mirostat_steers_towards_its_surprise(version: int, sampler_for: SamplerFor) -> None:
    total = float(np.exp(LONG_TAIL).sum())

    def surprise(tau: float) -> float:
        sampler = sampler_for(temperature=1.0, mirostat=version, mirostat_tau=tau)
        chosen = [sampler.choose(LONG_TAIL) for _ in range(300)]
        bits = [-math.log2(math.exp(LONG_TAIL[token]) / total) for token in chosen]
        return sum(bits[100:]) / 200

    assert surprise(2.0) < surprise(4.0) < surprise(6.0)


def test_mirostats_limit_moves_with_what_was_chosen(sampler_for: SamplerFor) -> None:
    logits = shares(FALLING)
    sampler = sampler_for(temperature=1.0, mirostat=2, mirostat_tau=0.4, mirostat_eta=0.5)
    assert sampler.choose(logits) == A, "only a surprise of 0.8 bits is allowed at first"
    assert seen(sampler, logits) > {A}, "nothing is a surprise, and so the limit rises"


def test_the_repeat_penalty_lowers_what_was_there(sampler_for: SamplerFor) -> None:
    logits = row({A: 2.0, B: 1.5, C: -1.0, D: -1.5})
    sampler = sampler_for(temperature=0.0, repeat_penalty=1.5)
    assert [sampler.choose(logits) for _ in range(4)] == [A, B, A, A]
    negative = sampler_for(temperature=0.0, repeat_penalty=10.0, logit_bias=((A, None), (B, None)))
    assert [negative.choose(logits) for _ in range(3)] == [C, D, C]


def test_the_presence_penalty_counts_once_and_the_frequency_penalty_each_time(
    sampler_for: SamplerFor,
) -> None:
    logits = row({A: 5.0, B: 4.0})
    once = sampler_for(temperature=0.0, presence_penalty=1.5)
    assert [once.choose(logits) for _ in range(4)] == [A, B, A, A]
    each = sampler_for(temperature=0.0, frequency_penalty=0.4)
    assert [each.choose(logits) for _ in range(6)] == [A, A, A, B, A, B]


def test_a_negative_penalty_calls_for_repetition(sampler_for: SamplerFor) -> None:
    sampler = sampler_for(temperature=0.0, presence_penalty=-2.0)
    assert sampler.choose(row({A: 1.0, B: 2.0})) == B
    assert sampler.choose(row({A: 2.5, B: 2.0})) == B


def test_a_penalty_pulls_up_a_token_from_anywhere(sampler_for: SamplerFor) -> None:
    logits = np.linspace(0.0, 1.0, SIZE, dtype=np.float32)
    sampler = sampler_for(temperature=0.0, presence_penalty=-2.0)
    sampler.accept_prompt([1234])
    assert sampler.choose(logits) == 1234


@pytest.mark.parametrize(("window", "second"), [(0, A), (1, A), (2, B), (-1, B)])
def test_penalties_look_back_as_far_as_asked(
    window: int, second: int, sampler_for: SamplerFor
) -> None:
    sampler = sampler_for(temperature=0.0, presence_penalty=2.0, repeat_last_n=window)
    sampler.accept_prompt([A, X])
    assert sampler.choose(row({A: 5.0, B: 4.0})) == second


def test_only_the_end_of_a_prompt_counts(sampler_for: SamplerFor) -> None:
    sampler = sampler_for(temperature=0.0, presence_penalty=2.0)
    sampler.accept_prompt([A] + [X] * 64)
    assert sampler.choose(row({A: 5.0, B: 4.0})) == A


def test_the_whole_context_is_the_longest_window(sampler_for: SamplerFor) -> None:
    sampler = sampler_for(temperature=0.0, presence_penalty=2.0, repeat_last_n=2**20)
    sampler.accept_prompt([B] + [X] * 510 + [A])
    assert sampler.choose(row({A: 5.0, B: 4.5, C: 4.0})) == C
    sampler.choose(row({C: 0.0}))
    assert sampler.choose(row({A: 5.0, B: 4.5, C: 4.0})) == B


def test_dry_stops_a_passage_from_coming_again(sampler_for: SamplerFor) -> None:
    logits = row({D: 5.0, X: 4.0})
    prompt = [A, B, C, D, X, A, B, C]
    for strength, follows in ((0.0, D), (2.0, X)):
        sampler = sampler_for(temperature=0.0, dry_multiplier=strength)
        sampler.accept_prompt(prompt)
        assert sampler.choose(logits) == follows


@pytest.mark.parametrize(
    ("fields", "follows"),
    [
        ({"dry_sequence_breakers": ("c",)}, D),
        ({"dry_sequence_breakers": ("zz",)}, X),
        ({"dry_sequence_breakers": ()}, X),
        ({"dry_allowed_length": 3}, X),
        ({"dry_allowed_length": 4}, D),
        ({"dry_penalty_last_n": 6}, D),
        ({"dry_penalty_last_n": 7}, X),
        ({"dry_penalty_last_n": -1}, X),
        ({"dry_penalty_last_n": 0}, D),
        ({"dry_base": 1.0, "dry_multiplier": 0.9}, D),
    ],
)
def test_dry_can_be_set(fields: dict[str, object], follows: int, sampler_for: SamplerFor) -> None:
    sampler = sampler_for(temperature=0.0, **({"dry_multiplier": 2.0} | fields))
    sampler.accept_prompt([A, B, C, D, X, A, B, C])
    assert sampler.choose(row({D: 5.0, X: 4.0})) == follows


def test_dry_is_harder_on_longer_passages(sampler_for: SamplerFor) -> None:
    logits = row({D: 5.0, X: 4.0})
    fields = {"temperature": 0.0, "dry_multiplier": 0.6, "dry_base": 2.0}
    for prompt, follows in (([B, C, D, X, B, C], D), ([A, B, C, D, X, A, B, C], X)):
        sampler = sampler_for(**fields)
        sampler.accept_prompt(prompt)
        assert sampler.choose(logits) == follows, "0.6 for two tokens, 1.2 for three"


def test_dry_looks_further_back_than_the_other_penalties_if_told_so(
    sampler_for: SamplerFor,
) -> None:
    fields = {"repeat_penalty": 1.1, "repeat_last_n": 1, "dry_multiplier": 2.0}
    sampler = sampler_for(temperature=0.0, **fields)
    sampler.accept_prompt([A, B, C, D, X, A, B, C, EOS, X, A, B, C])
    assert sampler.choose(row({D: 5.0, EOS: 4.9, X: 4.0})) == X


def test_a_bias_forces_and_a_ban_forbids(sampler_for: SamplerFor) -> None:
    logits = row({A: 5.0, B: 4.0, C: 3.0}, others=0.0)
    assert seen(sampler_for(logit_bias=((4000, 100.0),)), logits) == {4000}
    assert sampler_for(temperature=0.0, logit_bias=((A, -2.5), (B, -0.5))).choose(logits) == B
    assert sampler_for(temperature=0.0, logit_bias=((A, None),)).choose(logits) == B
    assert seen(sampler_for(**OFF, logit_bias=((A, None), (B, None))), shares(FALLING)) == {C, D}


def test_a_ban_holds_against_a_bias_and_without_any_filter(sampler_for: SamplerFor) -> None:
    biased = sampler_for(temperature=0.0, logit_bias=((A, 100.0), (A, None)))
    assert biased.choose(row({A: 5.0, B: 4.0})) == B
    wild = sampler_for(temperature=5.0, top_k=0, top_p=1.0, min_p=0.0, logit_bias=((A, None),))
    assert A not in seen(wild, row({A: 5.0}, others=0.0))


def test_typical_p_works_beside_a_ban(sampler_for: SamplerFor) -> None:
    """llama.cpp takes the logarithm of a banned token's probability, which is none."""
    many = dict.fromkeys(range(1000, 1060), 0.6 / 60)
    sampler = sampler_for(**OFF, typical_p=0.5, logit_bias=((B, None),))
    assert A not in seen(sampler, row({t: math.log(p) for t, p in ({A: 0.4} | many).items()}, -30))


def test_not_all_tokens_can_be_banned(samplers: Samplers) -> None:
    every = frozenset(range(SIZE))
    choice = decide(Sampling(), SIZE)
    with pytest.raises(InvalidRequestError, match=f"all {SIZE} tokens") as caught:
        samplers.new(type(choice)(banned=every))
    assert caught.value.field == "logit_bias"


@pytest.mark.parametrize("fields", [{"temperature": 0.0}, OFF, {}])
def test_with_ignore_eos_no_end_token_comes(
    fields: dict[str, float], sampler_for: SamplerFor
) -> None:
    logits = row({EOS: 50.0, A: 1.0, B: 0.5})
    assert seen(sampler_for(**fields), logits) == {EOS}
    assert seen(sampler_for(**fields, ignore_eos=True), logits) <= {A, B}


def test_of_equal_tokens_the_greedy_choice_is_the_first(sampler_for: SamplerFor) -> None:
    logits = row({700: 1.0, 300: 1.0, 4000: 1.0})
    assert sampler_for(temperature=0.0).choose(logits) == 300
    assert sampler_for(temperature=0.0, presence_penalty=1.0).choose(logits) == 300
    assert sampler_for(temperature=0.0, logit_bias=((299, None),)).choose(logits) == 300


def test_a_seed_repeats_a_choice_and_another_does_not(sampler_for: SamplerFor) -> None:
    logits = row({}, others=0.0)
    first, same, other = (
        [sampler.choose(logits) for _ in range(20)]
        for sampler in (
            sampler_for(**OFF, seed=5),
            sampler_for(**OFF, seed=5),
            sampler_for(**OFF, seed=6),
        )
    )
    assert first == same != other


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"mirostat": 1},
        {"mirostat": 2},
        {"top_k": 500},
        {"temperature": 0.0},
        {"temperature": 0.0, "logit_bias": ((0, None),)},
        {"temperature": 0.0, "presence_penalty": 1.0},
    ],
)
def test_logits_that_are_no_numbers_are_an_error(
    fields: dict[str, object], sampler_for: SamplerFor
) -> None:
    logits = np.full(SIZE, np.nan, np.float32)
    with pytest.raises(InternalError, match="not a number"):
        sampler_for(**fields).choose(logits)


def test_samplers_can_be_made_on_several_threads(sampler_for: SamplerFor) -> None:
    def make(number: int) -> None:
        for length in range(1, 12):
            sampler_for(
                dry_multiplier=1.0, dry_allowed_length=length + number, dry_sequence_breakers=()
            )

    threads = [threading.Thread(target=make, args=[number]) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sampler_for(temperature=0.0, dry_multiplier=1.0).choose(row({A: 1.0})) == A
