# SPDX-License-Identifier: GPL-3.0-only
"""Samplers over the wide vocabulary, and logits for them."""

from __future__ import annotations

import math

import llama_cpp
import numpy as np
from modeld_llama_cpp.constraints.matching.matcher_cache import Constraints
from modeld_llama_cpp.sampling.chain import Chains
from modeld_llama_cpp.sampling.logits import Row
from modeld_llama_cpp.sampling.parameters import Choice, decide
from modeld_llama_cpp.sampling.sampler import Sampler, Samplers
from sampling_fields import sampling_of
from wide_vocabulary import SIZE, token_of

from modeld import GenerateRequest

A, B, C, D, X = (token_of(byte) for byte in (b"a", b"b", b"c", b"d", b"x"))

FALLING = {A: 0.5, B: 0.3, C: 0.15, D: 0.05}

OFF = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
"""Nothing is dropped, so that what a test turns on is alone."""

CONTEXT_LENGTH = 512


class SamplerFor:
    """Makes samplers from the fields of requests."""

    def __init__(self, samplers: Samplers, constraints: Constraints) -> None:
        self._samplers = samplers
        self._constraints = constraints
        self._made: list[Sampler] = []

    def __call__(self, *, grammar: str | None = None, **fields: object) -> Sampler:
        choice = decide(sampling_of(**({"seed": 1} | fields)), SIZE)
        matcher = self._constraints.matcher(GenerateRequest(grammar=grammar))
        self._made.append(self._samplers.new(choice, matcher))
        return self._made[-1]

    def close(self) -> None:
        for sampler in self._made:
            sampler.close()


def row(logits: dict[int, float], others: float = -1000.0) -> Row:
    """Return the logits of some tokens, and of all others."""
    all_logits = np.full(SIZE, others, np.float32)
    all_logits[list(logits)] = list(logits.values())
    all_logits.flags.writeable = False
    return all_logits


def shares(probabilities: dict[int, float]) -> Row:
    """Return the logits that make these probabilities; all other tokens have none."""
    return row({token: math.log(share) for token, share in probabilities.items()})


def noise(seed: int, spread: float = 3.0) -> Row:
    """Logits like a model's."""
    logits = np.random.default_rng(seed).normal(0.0, spread, SIZE).astype(np.float32)
    logits.flags.writeable = False
    return logits


def seen(sampler: Sampler, logits: Row, times: int = 400) -> set[int]:
    """Return what is chosen when the same logits come again and again."""
    return {sampler.choose(logits) for _ in range(times)}


EVERYTHING = {
    "dynatemp_range": 0.5,
    "typical_p": 0.9,
    "top_n_sigma": 1.0,
    "xtc_probability": 0.5,
    "repeat_penalty": 1.1,
    "dry_multiplier": 0.8,
    "logit_bias": ((A, 1.0),),
}


def names(chains: Chains, **fields: object) -> list[str]:
    """Return what llama.cpp calls the samplers of a chain."""
    chain = chains.make(Choice(**fields))
    found = [
        llama_cpp.llama_sampler_name(llama_cpp.llama_sampler_chain_get(chain, index)).decode()
        for index in range(llama_cpp.llama_sampler_chain_n(chain))
    ]
    llama_cpp.llama_sampler_free(chain)
    return found


def raw_noise(seed: int, size: int = 5003, *, levels: int | None = None) -> Row:
    """Logits; with ``levels`` of so few different values that many are equal."""
    generator = np.random.default_rng(seed)
    if levels is not None:
        return generator.integers(-levels, levels, size).astype(np.float32)
    return generator.normal(0.0, 4.0, size).astype(np.float32)
