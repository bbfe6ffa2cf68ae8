# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import ctypes

import llama_cpp
import pytest
from modeld_llama_cpp.sampling.chain import Chains
from modeld_llama_cpp.sampling.parameters import Choice
from modeld_llama_cpp.sampling.sampler import Samplers
from sampler_rig import CONTEXT_LENGTH, EVERYTHING, A, B, C, D, names, row

CHANGES = ["logit-bias", "penalties", "dry"]


def test_the_order_is_that_of_llama_cpps_server(samplers: Samplers) -> None:
    filters = ["top-n-sigma", "top-k", "typical", "top-p", "min-p", "xtc"]
    found = names(samplers.chains, **EVERYTHING)
    assert found == [*CHANGES, *filters, "temp-ext", "dist"]


def test_by_default_there_is_little_in_it(samplers: Samplers) -> None:
    assert names(samplers.chains) == ["top-k", "top-p", "min-p", "temp-ext", "dist"]


@pytest.mark.parametrize(
    ("fields", "end"),
    [
        ({"temperature": 0.0}, ["greedy"]),
        ({"temperature": 0.0, "mirostat": 1}, ["greedy"]),
        ({"mirostat": 1}, ["temp", "mirostat"]),
        ({"mirostat": 2}, ["temp", "mirostat-v2"]),
    ],
)
def test_greedy_and_mirostat_keep_only_what_changes_logits(
    fields: dict[str, float], end: list[str], samplers: Samplers
) -> None:
    assert names(samplers.chains, **EVERYTHING, **fields) == [*CHANGES, *end]


def test_a_window_is_never_longer_than_the_context(samplers: Samplers) -> None:
    lengths = [samplers.chains.window(last_n) for last_n in (0, 5, -1, 2**20)]
    assert lengths == [0, 5, CONTEXT_LENGTH, CONTEXT_LENGTH]


def test_a_copy_of_dry_does_not_remember_what_another_has_seen(samplers: Samplers) -> None:
    choice = Choice(temperature=0.0, dry_multiplier=5.0)
    for prompt, follows in (([A, B, C, D, A, B, C], A), ([A], D)):
        sampler = samplers.new(choice)
        sampler.accept_prompt(prompt)
        assert sampler.choose(row({D: 2.0, A: 1.0})) == follows
        sampler.close()


def test_only_the_last_used_settings_of_dry_are_kept(samplers: Samplers) -> None:
    chains = Chains(samplers.vocab, CONTEXT_LENGTH)
    for length in [*range(1, 9), 1, 9]:  # 2 is the one not used for longest
        names(chains, dry_multiplier=1.0, dry_allowed_length=length)
    kept = [key[2] for key in chains._prototypes]
    assert kept == [3, 4, 5, 6, 7, 8, 1, 9]
    chains.close()
    assert not chains._prototypes


def test_what_takes_long_about_a_sampler_can_be_done_before(wide_model: int) -> None:
    fresh = Samplers(wide_model, CONTEXT_LENGTH)
    plain, slow = Choice(), Choice(ignore_eos=True, dry_multiplier=0.5)
    assert fresh.is_quick(plain)
    assert not fresh.is_quick(slow)
    fresh.prepare(slow)
    assert fresh.is_quick(slow)
    assert not fresh.is_quick(Choice(dry_multiplier=0.6))
    fresh.close()


def test_what_is_made_of_a_sampler_is_freed_if_the_rest_cannot_be(
    samplers: Samplers, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, freed = [], []

    def watch(name: str) -> None:
        real = getattr(llama_cpp, name)

        def call(*args: object) -> object:
            result = real(*args)
            if name == "llama_sampler_free":
                freed.append(args[0])
            else:
                made.append(result)
            return result

        monkeypatch.setattr(llama_cpp, name, call)

    for name in ("llama_sampler_chain_init", "llama_sampler_free"):
        watch(name)
    choice = Choice(repeat_penalty=1.1, dry_multiplier=1.0, dry_sequence_breakers=("\ud800",))
    with pytest.raises(UnicodeEncodeError):
        samplers.new(choice)
    (gone,), (there,) = freed, made
    assert ctypes.cast(gone, ctypes.c_void_p).value == ctypes.cast(there, ctypes.c_void_p).value
