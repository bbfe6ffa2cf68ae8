# SPDX-License-Identifier: GPL-3.0-only
"""Finds the words that the glossary has retired, in the names and in the prose of a file.

A word is written in one of five ways, which say where it is looked for:

- ``reply`` in names, as one of their parts, and in prose;
- ``wait in line`` in prose, also across the end of a line;
- ``an answer`` in names, as one of their parts, and in prose as a noun, which is what stands behind
  an article or the like: a server may still answer;
- ``_place_`` in names, as one of their parts;
- ``Room`` in names, as the whole of one.

Names are those of the code, and what prose has in backticks. The name of a test is a sentence, and
so prose.
"""

from __future__ import annotations

import io
import re
import tokenize
from pathlib import Path
from typing import NamedTuple

_BOTH = "the|its|their|our|your|no|any|first|last|next|same|whole|long|longest|running|good|earlier"
_SINGULAR = f"(?:{_BOTH}|an?|one|each|every|this|another)"
_PLURAL = f"(?:{_BOTH}|all|these|other|two|of|more)"
_COMPOSED = re.compile(r"\b_*[A-Za-z][a-z0-9]*(?:_[A-Za-z0-9]+|[A-Z][a-z0-9]+)\w*|\b_[a-z]\w*")
_DECLARED = re.compile(r"\b(?:const|let|function|class)\s+(\w+)")
_QUOTED = re.compile(r"`+([^`\n]+)`+")
_LAYOUT = (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
_STRINGS = (tokenize.STRING, getattr(tokenize, "FSTRING_MIDDLE", None))  # from Python 3.12 on
_MARGIN = re.compile(r"\n\s*(?:\*|//) ")
_TEST = "test_"
_BORDERS = re.compile(r"_+|(?<=[a-z0-9])(?=[A-Z])")


class Text(NamedTuple):
    """What a file has: its names, and its prose, a piece on each line."""

    names: frozenset[str]
    prose: str


def read(path: Path) -> Text:
    """Return the names and the prose of a Python, JavaScript or Markdown file."""
    source = path.read_text(encoding="utf-8")
    return of_python(source) if path.suffix == ".py" else of_text(source)


def of_python(source: str) -> Text:
    """Return the identifiers, and the strings and comments."""
    names, prose, comment = set(), [], ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:  # it may go on in the next line
            comment += token.string.lstrip("#")
        elif token.type not in _LAYOUT:
            prose.append(comment)
            comment = ""
        if token.type == tokenize.NAME and token.string.startswith(_TEST):
            prose.append(token.string.replace("_", " "))
        elif token.type == tokenize.NAME:
            names.add(token.string)
        elif token.type in _STRINGS:
            prose.append(token.string)
    return Text(frozenset(names) | _quoted(source), _joined([*prose, comment]))


def of_text(source: str) -> Text:
    """Return the names that tell themselves from prose, and all paragraphs."""
    names = frozenset(_COMPOSED.findall(source)) | frozenset(_DECLARED.findall(source))
    return Text(
        names | _quoted(source), _joined(re.split(r"\n\s*\n|\n[|]", _MARGIN.sub("\n", source)))
    )


def uses_of(word: str, text: Text) -> list[str]:
    """Return the names and the stretches of prose that use a retired word."""
    if word.startswith("_"):
        return _names_with(word.strip("_"), text)
    if word[0].isupper():
        return [name for name in sorted(text.names) if name.lstrip("_") == word]
    if (noun := re.sub(r"^an? ", "", word)) != word:
        pattern = rf"\b(?:{_SINGULAR} {noun}|{_PLURAL} {noun}s)\b"
        return [*_names_with(noun, text), *_prose_with(noun, pattern, text)]
    if " " in word:
        return _prose_with(word, rf"\b{word}\b", text)
    return [*_names_with(word, text), *_prose_with(word, rf"\b{word}\b", text)]


def _quoted(source: str) -> frozenset[str]:
    """Return the names that stand in backticks."""
    return frozenset(name for code in _QUOTED.findall(source) for name in re.findall(r"\w+", code))


def _joined(pieces: list[str]) -> str:
    return "\n".join(" ".join(piece.split()) for piece in pieces if piece.strip())


def _names_with(part: str, text: Text) -> list[str]:
    parts = {part, f"{part}s"}
    return [
        name
        for name in sorted(text.names)
        if parts & {each.lower() for each in _BORDERS.split(name)}
    ]


def _prose_with(literal: str, pattern: str, text: Text) -> list[str]:
    if literal not in text.prose.lower():  # most files have none, and this is quick
        return []
    found = re.finditer(pattern, text.prose, re.IGNORECASE)
    return [text.prose[max(0, match.start() - 30) : match.end() + 30] for match in found]
