# SPDX-License-Identifier: GPL-3.0-only
"""Values as Python or Gemma write them, read as JSON. JSON itself is read as well."""

from __future__ import annotations

import re

from modeld_llama_cpp.chat.formats.json_text import MAX_DEPTH, at_end, is_json
from modeld_llama_cpp.chat.formats.output import Output, dumped
from modeld_llama_cpp.chat.formats.reader import BrokenCallError, Reader, Reading

GEMMA_QUOTE = '<|"|>'

_NUMBER = re.compile(r"[-.0-9eE+]+")
_WORD = re.compile(r"[A-Za-z]+")
_NAME = re.compile(r"\w+")
_WORDS = {
    "True": "true", "False": "false", "None": "null",
    "true": "true", "false": "false", "null": "null",
}  # fmt: skip
_ESCAPES = {
    "n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "\\": "\\", "'": "'", '"': '"',
    "/": "/", "\n": "",
}  # fmt: skip
_DIGITS = {"x": 2, "u": 4, "U": 8}
_PLAIN = {"'": re.compile(r"[^'\\]+"), '"': re.compile(r'[^"\\]+')}


def arguments_at_cut(output: Output, name: str) -> dict[str, str]:
    """Return where the arguments of a call are put as they come, to be given out at a cut."""
    found: dict[str, str] = {}
    output.at_cut = lambda: output.call(name, _object(found)[:-1] if found else "")
    return found


def read_keywords(output: Output, name: str) -> Reading[str]:
    """Read ``a=1, b="x")`` from behind the opening parenthesis on; return a JSON object."""
    reader, found = output.reader, arguments_at_cut(output, name)
    yield from reader.skip_spaces()
    closed = yield from reader.skip(")")
    while not closed:
        key = yield from reader.run(_NAME)
        if not key or key in found:
            raise BrokenCallError
        yield from reader.skip_spaces()
        yield from reader.expect("=")
        yield from reader.skip_spaces()
        found[key] = yield from read_literal(reader)
        closed = yield from _at_end(reader, ")")
    return _object(found)


def read_literal(reader: Reader, depth: int = 0) -> Reading[str]:
    """Read a value, and return it as JSON.

    Raises:
        BrokenCallError: it is none, or too deep.
    """
    sign = yield from reader.peek()
    if sign in ("[", "(", "{"):
        if depth == MAX_DEPTH:
            raise BrokenCallError
        reader.advance(1)
        if sign == "{":
            return (yield from read_mapping(reader, depth + 1))
        return (yield from _read_items(reader, "]" if sign == "[" else ")", depth + 1))
    if sign in ("'", '"'):
        return dumped((yield from _read_quoted(reader, sign)))
    if (yield from reader.skip(GEMMA_QUOTE)):
        return dumped((yield from reader.until(GEMMA_QUOTE))[0])
    if sign.isascii() and sign.isalpha():
        word = yield from reader.run(_WORD)
        if word not in _WORDS:
            raise BrokenCallError
        return _WORDS[word]
    number = yield from reader.run(_NUMBER)
    if not is_json(number):
        raise BrokenCallError
    return number


def read_mapping(
    reader: Reader, depth: int = 1, found: dict[str, str] | None = None
) -> Reading[str]:
    """Read ``a: 1, 'b': 2}`` from behind the opening brace on; return a JSON object.

    Its members are put into ``found`` as they come.
    """
    found = {} if found is None else found
    yield from reader.skip_spaces()
    closed = yield from reader.skip("}")
    while not closed:
        name = yield from _read_key(reader)
        if name in found:
            raise BrokenCallError
        yield from reader.skip_spaces()
        yield from reader.expect(":")
        yield from reader.skip_spaces()
        found[name] = yield from read_literal(reader, depth)
        closed = yield from _at_end(reader, "}")
    return _object(found)


def _read_key(reader: Reader) -> Reading[str]:
    sign = yield from reader.peek()
    if sign in ("'", '"'):
        return (yield from _read_quoted(reader, sign))
    if (yield from reader.skip(GEMMA_QUOTE)):
        return (yield from reader.until(GEMMA_QUOTE))[0]
    name = yield from reader.run(_NAME)
    if not name:
        raise BrokenCallError
    return name


def _read_items(reader: Reader, closing: str, depth: int) -> Reading[str]:
    found = []
    yield from reader.skip_spaces()
    closed = yield from reader.skip(closing)
    while not closed:
        found.append((yield from read_literal(reader, depth)))
        closed = yield from _at_end(reader, closing)
    return f"[{', '.join(found)}]"


def _at_end(reader: Reader, closing: str) -> Reading[bool]:
    """Read what follows an item; unlike JSON, Python takes a comma behind the last."""
    closed = yield from at_end(reader, closing)
    return closed or (yield from reader.skip(closing))


def _read_quoted(reader: Reader, quote: str) -> Reading[str]:
    closing = quote * 3 if (yield from reader.skip(quote * 3)) else quote
    if closing == quote:
        yield from reader.expect(quote)
    pieces = []
    while not (yield from reader.skip(closing)):
        if piece := (yield from reader.run(_PLAIN[quote])):
            pieces.append(piece)
        elif (yield from reader.skip("\\")):
            pieces.append((yield from _read_escape(reader)))
        elif len(closing) > 1 and (yield from reader.skip(quote)):
            pieces.append(quote)
        else:
            raise BrokenCallError
    return _whole("".join(pieces))


def _read_escape(reader: Reader) -> Reading[str]:
    sign = yield from reader.peek()
    reader.advance(len(sign))
    if sign in _DIGITS:
        digits = ""
        for _ in range(_DIGITS[sign]):
            digit = yield from reader.peek()
            reader.advance(len(digit))
            digits += digit
        if not re.fullmatch(r"[0-9a-fA-F]{2,8}", digits) or int(digits, 16) > 0x10FFFF:
            raise BrokenCallError
        return chr(int(digits, 16))
    return _ESCAPES.get(sign, f"\\{sign}")  # as Python does with what it does not know


def _whole(text: str) -> str:
    """Return a text with halves of characters put together."""
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError as exc:
        raise BrokenCallError from exc


def _object(found: dict[str, str]) -> str:
    return "{" + ", ".join(f"{dumped(key)}: {value}" for key, value in found.items()) + "}"
