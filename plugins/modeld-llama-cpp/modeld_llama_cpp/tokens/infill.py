# SPDX-License-Identifier: GPL-3.0-only
"""The tokens of a prompt and a suffix between which a model fills in what is missing.

They are put together as token ids: a text that only looks like one of these special tokens stays a
text. The order is that of llama.cpp's server: the prompt, the suffix, what comes between.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from modeld.errors import NotSupportedError
from modeld_llama_cpp.tokens.vocabulary import Vocabulary


def infill_tokens(prompt: bytes, suffix: bytes, vocabulary: Vocabulary) -> list[int]:
    """Return the tokens after which what stands between a prompt and a suffix is generated.

    Raises:
        NotSupportedError: the vocabulary has no tokens for it.
        InvalidRequestError: llama.cpp has no tokens for one of the texts.
    """
    marks = vocabulary.infill
    if marks is None:
        raise NotSupportedError(
            "suffix: the model's vocabulary has no tokens for filling in the middle",
            field="suffix",
        )
    before_prompt, before_suffix, before_middle = marks
    return [
        *vocabulary.beginning,
        before_prompt,
        *_plain(prompt, marks, vocabulary),
        before_suffix,
        *_plain(suffix, marks, vocabulary),
        before_middle,
    ]


def _plain(text: bytes, marks: tuple[int, ...], vocabulary: Vocabulary) -> list[int]:
    """Return the tokens of a text among which none is a mark.

    A vocabulary may have marks that are read in any text, and nothing but a cut keeps llama.cpp
    from that.
    """
    tokens = vocabulary.tokenize(text, add_special=False, parse_special=False)
    if set(marks).isdisjoint(tokens):
        return tokens
    return [
        token
        for piece in _cut_within(text, map(vocabulary.written, marks))
        for token in vocabulary.tokenize(piece, add_special=False, parse_special=False)
    ]


def _cut_within(text: bytes, marks: Iterator[bytes]) -> Iterator[bytes]:
    """Yield a text cut behind the first byte of each mark that is written out in it."""
    start = 0
    for found in re.finditer(b"|".join(map(re.escape, marks)), text):
        yield text[start : found.start() + 1]
        start = found.start() + 1
    yield text[start:]
