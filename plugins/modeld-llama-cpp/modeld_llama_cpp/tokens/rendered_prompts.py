# SPDX-License-Identifier: GPL-3.0-only
"""Tokenises what a chat template has written: its own special tokens as such, all else as text.

llama.cpp looks for special tokens first and tokenises each stretch between them by itself. Here
they are looked for while what is said in the chat is hidden, and the stretches are put together
afterwards. So the tokens are those of the whole text, except for what only looked like a special
token.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping

from modeld_llama_cpp.chat.hidden_texts import SIGN, Rendered, TemplateMarks
from modeld_llama_cpp.chat.longest_match import longest_of
from modeld_llama_cpp.tokens.vocabulary import Vocabulary


def read_rendered(rendered: Rendered, marks: TemplateMarks, vocabulary: Vocabulary) -> list[int]:
    """Return the tokens of a prompt, with those around it that the model wants.

    Raises:
        InvalidRequestError: llama.cpp has no tokens for it.
    """
    own = longest_of(marks.own)
    return vocabulary.framed(
        [
            token
            for stretch in _stretches(rendered.text, marks, vocabulary)
            for token in (
                [stretch]
                if isinstance(stretch, int)
                else _plain(stretch, rendered.hidden, own, vocabulary)
            )
        ]
    )


def _stretches(text: str, marks: TemplateMarks, vocabulary: Vocabulary) -> Iterator[str | int]:
    """Yield the template's special tokens and what stands between them, in their order."""
    start, strips = 0, False
    for found in marks.control.pattern.finditer(text):
        special = vocabulary.special_tokens.control[found[0]]
        stretch = text[start : found.start()]
        stretch = stretch.lstrip() if strips else stretch
        yield stretch.rstrip() if special.strips_before else stretch
        yield special.token
        start, strips = found.end(), special.strips_after
    yield text[start:].lstrip() if strips else text[start:]


def _plain(
    text: str, hidden: Mapping[str, str], own: re.Pattern[str], vocabulary: Vocabulary
) -> list[int]:
    """Return the tokens of a stretch in which nothing that was hidden is read as special."""
    return [
        token
        for piece in _pieces(text, hidden, own)
        for token in vocabulary.tokenize(piece.encode(), add_special=False, parse_special=False)
    ]


def _pieces(text: str, hidden: Mapping[str, str], own: re.Pattern[str]) -> Iterator[str]:
    """Yield a stretch with all shown, cut within whatever in it only looks like a mark.

    llama.cpp reads such marks in any text, and nothing but a cut keeps it from that.
    """
    parts, foreign, length, at = list[str](), deque[tuple[int, int]](), 0, 0
    for found in SIGN.finditer(text):
        said = hidden.get(found[0], found[0])
        length += found.start() - at
        foreign.append((length, length + len(said)))
        parts += [text[at : found.start()], said]
        length += len(said)
        at = found.end()
    shown = "".join([*parts, text[at:]])
    start = search = 0
    while mark := own.search(shown, search):
        begin, end = mark.span()
        while foreign and foreign[0][1] <= begin:
            foreign.popleft()
        if foreign and foreign[0][0] < end:
            yield shown[start : begin + 1]
            start = search = begin + 1
        else:
            search = end
    yield shown[start:]
