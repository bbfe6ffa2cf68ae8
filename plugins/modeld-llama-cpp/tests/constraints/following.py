# SPDX-License-Identifier: GPL-3.0-only
"""Follows compiled constraints byte by byte: tells whether they take a text, and makes texts."""

from __future__ import annotations

from random import Random

import llguidance
from modeld_llama_cpp.constraints.compiler import compile_constraint
from modeld_llama_cpp.constraints.limits import limits

BYTES = llguidance.LLTokenizer("byte")
END = BYTES.eos_token


def follow(grammar: str) -> llguidance.LLMatcher:
    matcher = llguidance.LLMatcher(BYTES, grammar, log_level=0, limits=limits())
    assert not matcher.is_error(), matcher.get_error()
    return matcher


def takes(grammar: str, text: str) -> bool:
    """Whether a whole text may be written under a grammar."""
    matcher, data = follow(grammar), text.encode()
    return matcher.try_consume_tokens(list(data)) == len(data) and matcher.is_accepting()


def compiled(kind: str, source: object) -> str:
    return compile_constraint(kind, source).text


def walk(grammar: str, random: Random, most: int = 600) -> str | None:
    """A text that a grammar allows, made at random, with a growing taste for its end.

    None if it did not come to an end within so many bytes.
    """
    matcher, written = follow(grammar), bytearray()
    while len(written) < most:
        mask = matcher.compute_bitmask()
        allowed = [i for i in range(BYTES.vocab_size) if mask[i >> 3] >> (i & 7) & 1]
        assert allowed, (bytes(written), matcher.get_error())
        goes_on = [each for each in allowed if each != END]
        if not goes_on or (END in allowed and random.random() < 0.4):
            return written.decode()
        closing = [each for each in goes_on if each in b'"}]']
        plain = [each for each in goes_on if 32 <= each < 127]
        if closing and random.random() < 0.15 + len(written) / most:
            byte = random.choice(closing)
        else:
            byte = random.choice(plain if plain and random.random() < 0.9 else goes_on)
        assert matcher.consume_token(byte), matcher.get_error()
        written.append(byte)
    return None
