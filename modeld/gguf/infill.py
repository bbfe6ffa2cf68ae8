# SPDX-License-Identifier: GPL-3.0-only
"""Tells from a header whether a vocabulary has the tokens for filling in the middle.

These stand before the text at the beginning, before the text at the end, and before what is filled
in. A header names them by their ids; in one that does not, llama.cpp knows them by their texts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from modeld.values import MetadataValue

TOKENS_KEY: Final = "tokenizer.ggml.tokens"

_IDS: Final = (
    ("tokenizer.ggml.fim_pre_token_id", "tokenizer.ggml.prefix_token_id"),
    ("tokenizer.ggml.fim_suf_token_id", "tokenizer.ggml.suffix_token_id"),
    ("tokenizer.ggml.fim_mid_token_id", "tokenizer.ggml.middle_token_id"),
)
"""The keys of each of the three, the one in use and an older one."""

_TEXTS: Final = tuple(
    frozenset(text.encode() for text in texts)
    for texts in (
        (
            *("<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<\uff5cfim▁begin\uff5c>"),
            *("<PRE>", "▁<PRE>", "<|code_prefix|>", "<|prefix|>"),
        ),
        (
            *("<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<\uff5cfim▁hole\uff5c>"),
            *("<SUF>", "▁<SUF>", "<|code_suffix|>", "<|suffix|>"),
        ),
        (
            *("<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<\uff5cfim▁end\uff5c>"),
            *("<MID>", "▁<MID>", "<|code_middle|>", "<|middle|>"),
        ),
    )
)
"""The texts of each of the three, as llama.cpp knows them."""

KEYS: Final = frozenset(key for keys in _IDS for key in keys)
TEXTS: Final = frozenset().union(*_TEXTS)


def has_infill_tokens(
    values: Mapping[str, MetadataValue], found: Collection[bytes], tokens: int
) -> bool:
    """Return whether all three are there.

    ``found`` are those of :data:`TEXTS` that are in the vocabulary, which has so many ``tokens``.
    """
    return all(
        any(_is_token(values.get(key), tokens) for key in keys) or not texts.isdisjoint(found)
        for keys, texts in zip(_IDS, _TEXTS, strict=True)
    )


def _is_token(value: MetadataValue | None, tokens: int) -> bool:
    return type(value) is int and 0 <= value < tokens
