# SPDX-License-Identifier: GPL-3.0-only
"""Writes texts under grammars at random, with a taste for marks, and with tokens for some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

import llguidance
from modeld_llama_cpp.constraints.limits import limits

MOST = 700


@dataclass(kw_only=True)
class Bytes:
    """A vocabulary of all bytes, and of special tokens behind them; the last ends a text."""

    tokens: list[bytes]
    ids: dict[str, int]
    eos_token_id: int
    special_token_ids: list[int]
    bos_token_id: int | None = None

    @classmethod
    def with_specials(cls, *names: str) -> Bytes:
        specials = [b"\xff" + name.encode() for name in (*names, "<|end of text|>")]
        return cls(
            tokens=[bytes([byte]) for byte in range(256)] + specials,
            ids={name: 256 + index for index, name in enumerate(names)},
            eos_token_id=256 + len(names),
            special_token_ids=list(range(256, 256 + len(specials))),
        )

    def __call__(self, text: str | bytes) -> list[int]:
        return list(text if isinstance(text, bytes) else text.encode())

    def written(self, token: int) -> bytes:
        return self.tokens[token] if token < 256 else self.tokens[token][1:]


class Walker:
    """Goes through a grammar."""

    def __init__(self, grammar: str, vocabulary: Bytes) -> None:
        self._vocabulary = vocabulary
        self._tokenizer = llguidance.LLTokenizer(llguidance.TokenizerWrapper(vocabulary))
        self._grammar = grammar

    def start(self) -> llguidance.LLMatcher:
        matcher = llguidance.LLMatcher(self._tokenizer, self._grammar, limits=limits())
        assert not matcher.is_error(), matcher.get_error()
        return matcher

    def takes(self, tokens: Sequence[int]) -> bool:
        matcher = self.start()
        return matcher.try_consume_tokens(list(tokens)) == len(tokens) and matcher.is_accepting()

    def walk(self, random: Random, marks: Sequence[str], begin: str = "") -> str | None:
        """Write a text, or none if it does not come to an end in time."""
        matcher = self.start()
        written = bytearray(begin.encode())
        assert matcher.consume_tokens(list(written)) or not written
        while len(written) < MOST:
            if matcher.is_accepting() and (matcher.is_stopped() or random.random() < 0.3):
                return written.decode()
            mark = random.choice(marks).encode()
            if random.random() < 0.3 and matcher.validate_tokens(list(mark)) == len(mark):
                matcher.consume_tokens(list(mark))
                written += mark
                continue
            token = self._next(matcher, random)
            if token is None:
                return written.decode()
            matcher.consume_token(token)
            written += self._vocabulary.written(token)
        return None

    def _next(self, matcher: llguidance.LLMatcher, random: Random) -> int | None:
        mask = matcher.compute_bitmask()
        count = len(self._vocabulary.tokens)
        allowed = [i for i in range(count) if mask[i >> 3] >> (i & 7) & 1]
        goes_on = [each for each in allowed if each != self._vocabulary.eos_token_id]
        if not goes_on:
            return None
        rare = [each for each in goes_on if each >= 256 or each in b'"}]']
        plain = [each for each in goes_on if 32 <= each < 127]
        if rare and random.random() < 0.4:
            return random.choice(rare)
        return random.choice(plain or goes_on)
