# SPDX-License-Identifier: GPL-3.0-only
"""Samplers over the wide vocabulary, and logits for them."""

from __future__ import annotations

import math

import numpy as np
from modeld_llama_cpp.logits import Row
from modeld_llama_cpp.sampler import Sampler, Samplers
from modeld_llama_cpp.sampling import decide
from wide_vocabulary import SIZE, token_of

from modeld import Sampling

A, B, C, D, X = (token_of(byte) for byte in (b"a", b"b", b"c", b"d", b"x"))

FALLING = {A: 0.5, B: 0.3, C: 0.15, D: 0.05}

OFF = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0}
"""Nothing is dropped, so that what a test turns on is alone."""

CONTEXT_LENGTH = 512


class SamplerFor:
    """Makes samplers from the fields of requests."""

    def __init__(self, samplers: Samplers) -> None:
        self._samplers = samplers
        self._made: list[Sampler] = []

    def __call__(self, *, grammar: str | None = None, **fields: object) -> Sampler:
        choice = decide(Sampling(**({"seed": 1} | fields)), SIZE)
        self._made.append(self._samplers.new(choice, grammar))
        return self._made[-1]

    def close(self) -> None:
        for sampler in self._made:
            sampler.close()


def row(logits: dict[int, float], others: float = -1000.0) -> Row:
    """The logits of some tokens, and of all others."""
    all_logits = np.full(SIZE, others, np.float32)
    all_logits[list(logits)] = list(logits.values())
    all_logits.flags.writeable = False
    return all_logits


def shares(probabilities: dict[int, float]) -> Row:
    """The logits that make these probabilities; all other tokens have none."""
    return row({token: math.log(share) for token, share in probabilities.items()})


def noise(seed: int, spread: float = 3.0) -> Row:
    """Logits like a model's."""
    logits = np.random.default_rng(seed).normal(0.0, spread, SIZE).astype(np.float32)
    logits.flags.writeable = False
    return logits


def seen(sampler: Sampler, logits: Row, times: int = 400) -> set[int]:
    """What is chosen when the same logits come again and again."""
    return {sampler.choose(logits) for _ in range(times)}
