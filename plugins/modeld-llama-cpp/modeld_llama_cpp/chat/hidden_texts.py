# SPDX-License-Identifier: GPL-3.0-only
"""Keeps what is said in a chat from being read as the special tokens that mark its turns.

A template puts what users say into one text with its own special tokens, and nothing tells them
apart in it. So whatever would be read as a special token is hidden from the template: a character
of Unicode's private planes stands for it, which templates pass on as they do any letter. The
prompt's special tokens are found while these stand in it. Then each is replaced by what it stood
for, which is tokenised as plain text.

A special token that only comes about where two texts meet counts too. So the end of a text is
hidden where a special token could begin with it, and its beginning where one could end with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from modeld.errors import InvalidRequestError
from modeld_llama_cpp.chat.longest_match import longest_of

CONTINUED = "\U00100000"
"""Stands where a message ends that the model is to go on with."""

MAX_DEPTH = 100

_FIRST, _LAST = 0xF0000, 0xFFFFD
_PRIVATE = "\U000f0000-\U0010ffff"
_PRIVATE_CHARACTER = re.compile(f"[{_PRIVATE}]")
_ESCAPED = re.compile(r"\\ud(b[89ab][0-9a-f])\\ud([c-f][0-9a-f]{2})", re.IGNORECASE)
"""Such a character in JSON of plain ASCII, which some templates write."""

SIGN = re.compile("[\U000f0000-\U000ffffd]")
"""What stands for a hidden text."""

_WORD = re.compile(r"\w*")


class Marks:
    """The texts of special tokens, as they are looked for in one kind of texts."""

    def __init__(self, texts: Collection[str]) -> None:
        self.pattern = longest_of(texts)
        self._begins = frozenset(text[:end] for text in texts for end in range(1, len(text) + 1))
        self._ends = frozenset(text[at:] for text in texts for at in range(len(text)))
        self._all = "\0".join(texts)
        self._longest = max(map(len, texts), default=0)
        edges = {text[at] for text in texts for at in (0, -1)}
        self._may_have = re.compile(f"[{''.join(map(re.escape, sorted(edges)))}{_PRIVATE}]")

    def find(self, text: str) -> list[tuple[int, int]]:
        """Return what of a text must be hidden, as its beginnings and ends in their order."""
        if self._is_inside(text):
            return [(0, len(text))]
        if not self._may_have.search(text):
            return []
        spans = [found.span() for found in self.pattern.finditer(text)]
        if signs := [found.span() for found in _PRIVATE_CHARACTER.finditer(text)]:
            spans = sorted(spans + signs)
        begun, ended = self._beginning(text), self._end(text)
        if begun and not (spans and spans[0][0] < begun):
            spans.insert(0, (0, begun))
        if ended < len(text) and not (spans and spans[-1][1] > ended):
            spans.append((ended, len(text)))
        return spans

    def _is_inside(self, text: str) -> bool:
        """Return whether a text could be the middle of a special token. A mere word is let be."""
        return len(text) < self._longest and not _WORD.fullmatch(text) and text in self._all

    def _beginning(self, text: str) -> int:
        """Return how much of a text's beginning could be the end of a special token."""
        counts = range(min(self._longest, len(text)), 0, -1)
        return next((count for count in counts if text[:count] in self._ends), 0)

    def _end(self, text: str) -> int:
        """Return where an end of a text begins that could be the beginning of a special token."""
        starts = range(max(len(text) - self._longest, 0), len(text))
        return next((at for at in starts if text[at:] in self._begins), len(text))


@dataclass(frozen=True, slots=True)
class SpecialTexts:
    """The texts of a vocabulary's special tokens.

    ``control`` are those that mark turns and such, with their ids; they are never shown.
    ``defined`` are shown and are read in any text; only those that a template writes itself can
    pretend anything.
    """

    control: Mapping[str, int] = field(default_factory=dict)
    defined: frozenset[str] = frozenset()

    def of_template(self, written: str) -> TemplateMarks:
        """Return what must be hidden from a template that has, or writes, this text."""
        own = frozenset(each for each in self.defined if each.strip() and each in written)
        control = Marks(self.control)
        every = Marks(frozenset(self.control) | own) if own else control
        return TemplateMarks(control=control, all=every, own=own)


@dataclass(frozen=True, slots=True)
class TemplateMarks:
    """What pretends to be a template's own words: special tokens, and ``own`` marks of its text."""

    control: Marks
    all: Marks
    own: frozenset[str]


class Hider:
    """Hides what must be in the texts of one request."""

    def __init__(self, marks: TemplateMarks) -> None:
        self._marks = marks
        self._signs: dict[str, str] = {}

    @property
    def hidden(self) -> Mapping[str, str]:
        """Return the characters that stand for something, with what each stands for."""
        return {sign: text for text, sign in self._signs.items()}

    def hide(self, text: str, *, by_model: bool = False) -> str:
        """Return a text without what must be hidden.

        What a model has said itself keeps the marks that are read in any text.
        """
        pieces, at = [], 0
        for start, end in (self._marks.control if by_model else self._marks.all).find(text):
            pieces += [text[at:start], self._sign(text[start:end])]
            at = end
        return "".join([*pieces, text[at:]]) if pieces else text

    def hide_all(self, value: Any, depth: int = 0) -> Any:
        """Return plain data with all its texts hidden, names of members too.

        Raises:
            InvalidRequestError: it is nested more than :data:`MAX_DEPTH` deep.
        """
        if isinstance(value, str):
            return self.hide(value)
        if not isinstance(value, Mapping | list | tuple):
            return value
        if depth == MAX_DEPTH:
            raise InvalidRequestError(
                f"the messages or tools have data nested more than {MAX_DEPTH} deep",
                field="messages",
            )
        if isinstance(value, Mapping):
            pairs = value.items()
            return {self.hide(str(key)): self.hide_all(each, depth + 1) for key, each in pairs}
        return [self.hide_all(each, depth + 1) for each in value]

    def _sign(self, text: str) -> str:
        sign = self._signs.get(text)
        if sign is None:
            if len(self._signs) > _LAST - _FIRST:
                raise InvalidRequestError(
                    "messages: too many special tokens are written out", field="messages"
                )
            sign = self._signs[text] = chr(_FIRST + len(self._signs))
        return sign


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a template has written, with signs for what was ``hidden`` from it."""

    text: str
    hidden: Mapping[str, str] = field(default_factory=dict)

    @property
    def shown(self) -> str:
        """Return the text as whoever reads it sees it."""
        return self.text.translate(self._table) if self.hidden else self.text

    @property
    def _table(self) -> dict[int, str]:
        return {ord(sign): text for sign, text in self.hidden.items()}


def restore_signs(text: str, hidden: Mapping[str, str]) -> str:
    """Return a template's text with those signs again that it has written as JSON does in ASCII."""

    def sign(found: re.Match[str]) -> str:
        read: str = json.loads(f'"{found[0]}"')
        return read if read in hidden or read == CONTINUED else found[0]

    return _ESCAPED.sub(sign, text) if hidden else text
