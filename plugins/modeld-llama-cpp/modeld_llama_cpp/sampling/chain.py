# SPDX-License-Identifier: GPL-3.0-only
"""llama.cpp's samplers for one request, in the order that llama.cpp's own server has them in."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from typing import TypeAlias

import llama_cpp

from modeld_llama_cpp.sampling.parameters import Choice

_MIROSTAT_TOKENS = 100
"""How many of the likeliest tokens Mirostat 1 estimates from, as in its paper."""

_MIN_KEEP = 1

_MAX_KEPT = 8

_Key: TypeAlias = tuple[float, float, int, int, tuple[str, ...]]
"""All that DRY's sampler is made from."""


class Chains:
    """Makes the chains for one model's requests. May be used from any thread.

    To make a sampler for DRY, llama.cpp compares the whole vocabulary with each of the breakers.
    This takes 25 to 90 ms for the four default ones and seconds for sixteen long ones. A copy takes
    microseconds, so those last used are kept to be copied.
    """

    def __init__(self, vocab: int, context_length: int) -> None:
        self._vocab = vocab
        self._vocabulary_size = llama_cpp.llama_vocab_n_tokens(vocab)
        self._context_length = context_length
        self._prototypes: dict[_Key, int] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Give back what is kept. The chains made before live on."""
        for prototype in self._prototypes.values():
            llama_cpp.llama_sampler_free(prototype)
        self._prototypes.clear()

    def window(self, last_n: int) -> int:
        """Return how many tokens a penalty looks back at; minus one means the whole context."""
        return min(last_n, self._context_length) if last_n >= 0 else self._context_length

    def is_quick(self, choice: Choice) -> bool:
        """Return whether a chain can be made in microseconds."""
        return not choice.stops_repetition or self._key(choice) in self._prototypes

    def make(self, choice: Choice) -> int:
        """Return a new chain, which the caller frees. Its last sampler chooses a token.

        Each sampler is made only when the chain has taken the one before, so that none is lost.
        """
        chain: int = llama_cpp.llama_sampler_chain_init(
            llama_cpp.llama_sampler_chain_default_params()
        )
        try:
            for samplers in (self._changing(choice), self._choosing(choice)):
                for sampler in samplers:
                    llama_cpp.llama_sampler_chain_add(chain, sampler)
        except BaseException:
            llama_cpp.llama_sampler_free(chain)  # and with it those added
            raise
        return chain

    def _changing(self, choice: Choice) -> Iterator[int]:
        """Make the samplers that change the logits of single tokens."""
        if choice.logit_bias:
            biases = (llama_cpp.llama_logit_bias * len(choice.logit_bias))(
                *(llama_cpp.llama_logit_bias(token, bias) for token, bias in choice.logit_bias)
            )
            yield llama_cpp.llama_sampler_init_logit_bias(
                self._vocabulary_size, len(biases), biases
            )
        if choice.penalises:
            yield llama_cpp.llama_sampler_init_penalties(
                self._vocabulary_size,
                self.window(choice.repeat_last_n),
                choice.repeat_penalty,
                choice.frequency_penalty,
                choice.presence_penalty,
            )
        if choice.stops_repetition:
            yield self._dry(choice)

    def _choosing(self, choice: Choice) -> Iterator[int]:
        """Make the samplers that drop tokens, and the one that chooses in the end."""
        temperature = choice.temperature
        if choice.greedy:
            yield llama_cpp.llama_sampler_init_greedy()
        elif choice.mirostat:
            yield llama_cpp.llama_sampler_init_temp(temperature)
            yield self._mirostat(choice)
        else:
            yield from _filters(choice)
            yield llama_cpp.llama_sampler_init_temp_ext(
                temperature, choice.dynatemp_range, choice.dynatemp_exponent
            )
            yield llama_cpp.llama_sampler_init_dist(choice.seed)

    def _mirostat(self, choice: Choice) -> int:
        settings = (choice.seed, choice.mirostat_tau, choice.mirostat_eta)
        sampler: int
        if choice.mirostat == 1:
            sampler = llama_cpp.llama_sampler_init_mirostat(
                self._vocabulary_size, *settings, _MIROSTAT_TOKENS
            )
        else:
            sampler = llama_cpp.llama_sampler_init_mirostat_v2(*settings)
        return sampler

    def _dry(self, choice: Choice) -> int:
        key = self._key(choice)
        with self._lock:
            if (kept := self._prototypes.pop(key, None)) is not None:
                self._prototypes[key] = kept  # as the last one used
                return _copy(kept)
        # Outside the lock, as it may take seconds; meanwhile others copy what is there.
        made = self._new_dry(*key)
        with self._lock:
            self._keep(key, made)
            return _copy(made)  # under the lock: another thread may free what is kept

    def _keep(self, key: _Key, prototype: int) -> None:
        if (other := self._prototypes.pop(key, None)) is not None:
            llama_cpp.llama_sampler_free(other)  # made meanwhile, on another thread
        elif len(self._prototypes) == _MAX_KEPT:
            llama_cpp.llama_sampler_free(self._prototypes.pop(next(iter(self._prototypes))))
        self._prototypes[key] = prototype

    def _key(self, choice: Choice) -> _Key:
        return (
            choice.dry_multiplier,
            choice.dry_base,
            choice.dry_allowed_length,
            self.window(choice.dry_penalty_last_n),
            choice.dry_sequence_breakers,
        )

    def _new_dry(
        self, multiplier: float, base: float, allowed: int, window: int, breakers: tuple[str, ...]
    ) -> int:
        texts = (ctypes.c_char_p * len(breakers))(*(text.encode() for text in breakers))
        sampler: int = llama_cpp.llama_sampler_init_dry(
            self._vocab, multiplier, base, allowed, window, texts, len(texts)
        )
        return sampler


def _copy(sampler: int) -> int:
    copy: int = llama_cpp.llama_sampler_clone(sampler)
    return copy


def _filters(choice: Choice) -> Iterator[int]:
    if choice.top_n_sigma > 0.0:
        yield llama_cpp.llama_sampler_init_top_n_sigma(choice.top_n_sigma)
    if choice.top_k:
        yield llama_cpp.llama_sampler_init_top_k(choice.top_k)
    if choice.typical_p < 1.0:
        yield llama_cpp.llama_sampler_init_typical(choice.typical_p, _MIN_KEEP)
    if choice.top_p < 1.0:
        yield llama_cpp.llama_sampler_init_top_p(choice.top_p, _MIN_KEEP)
    if choice.min_p > 0.0:
        yield llama_cpp.llama_sampler_init_min_p(choice.min_p, _MIN_KEEP)
    if choice.xtc_probability > 0.0:
        yield llama_cpp.llama_sampler_init_xtc(
            choice.xtc_probability, choice.xtc_threshold, _MIN_KEEP, choice.seed
        )
