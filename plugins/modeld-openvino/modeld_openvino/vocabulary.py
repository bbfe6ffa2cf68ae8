# SPDX-License-Identifier: GPL-3.0-only
"""A model's tokens: what texts are made of, and which of them are special."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from modeld.errors import InvalidRequestError

_BYTE: Final = re.compile(rb"<0x([0-9A-Fa-f]{2})>")
_SPACE: Final = "\N{LOWER ONE EIGHTH BLOCK}".encode()
"""How SentencePiece writes a space."""

_MANY: Final = 1 << 18
"""More tokens than a tokenizer's limit is known to be set to."""


class Vocabulary:
    """The tokens of a loaded tokenizer of OpenVINO.

    A token is special if it has a name and no text: those that end a generation or mark a turn.
    ``limit`` is after how many tokens the tokenizer cuts a text off without a word.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        written: dict[bytes, int] = tokenizer.get_vocab()
        self.size = max(written.values()) + 1
        alone = [[token] for token in range(self.size)]
        shown: list[str] = tokenizer.decode(alone, skip_special_tokens=True)
        named: list[str] = tokenizer.decode(alone, skip_special_tokens=False)
        self.specials = {
            name: token
            for token, (name, text) in enumerate(zip(named, shown, strict=True))
            if name and not text
        }
        self.special_pattern = _pattern_of(self.specials)
        self._pieces = [text.encode() for text in named]
        for piece, token in written.items():
            self._pieces[token] = _bytes_of(piece, named[token])
        self._silent = frozenset(self.specials.values())
        self.limit = len(self._encoded("a " * _MANY, add_special=False))

    def tokens(self, text: str, *, add_special: bool, parse_special: bool = True) -> list[int]:
        """Return the tokens of a text, with those around it that the model wants, if asked for."""
        if parse_special:
            return self._encoded(text, add_special=add_special)
        first, *rest = self.torn(text)
        tokens = self._encoded(first, add_special=add_special)
        for piece in rest:
            tokens += self._encoded(piece, add_special=False)
        return tokens

    def torn(self, text: str) -> list[str]:
        """Return a text in pieces, so that no special token is written out in one of them.

        OpenVINO reads the names of special tokens in any text, and nothing but a cut keeps it from
        that.
        """
        pieces, start = [], 0
        while found := self.special_pattern.search(text, start):
            pieces.append(text[start : found.start() + 1])
            start = found.start() + 1
        return [*pieces, text[start:]]

    def piece(self, token: int) -> bytes:
        """Return the bytes of a token; a special one's are its name."""
        return self._pieces[token]

    def text_bytes(self, token: int) -> bytes:
        """Return what a token adds to a generation's text: nothing, if it is special.

        A network may have more tokens than its tokenizer; the others have no text.
        """
        is_text = token < self.size and token not in self._silent
        return self._pieces[token] if is_text else b""

    def check(self, tokens: Iterable[int], field: str) -> None:
        """Refuse ids that stand for nothing.

        Raises:
            InvalidRequestError: there is one; ``field`` is where.
        """
        for token in tokens:
            if token >= self.size:
                raise InvalidRequestError(
                    f"{field}: there is no token {token}; the last one is {self.size - 1}",
                    field=field,
                )

    def _encoded(self, text: str, *, add_special: bool) -> list[int]:
        try:
            encoded = self._tokenizer.encode(text, add_special_tokens=add_special)
        except RuntimeError as exc:
            raise InvalidRequestError(f"the model's tokenizer cannot read the text: {exc}") from exc
        tokens: list[int] = encoded.input_ids.data[0].tolist()
        return tokens


def check_text(text: str, field: str) -> None:
    """Refuse a text that is not Unicode.

    Raises:
        InvalidRequestError: there is half a character in it.
    """
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        raise InvalidRequestError(
            f"{field} has half of a surrogate pair at character {exc.start}", field=field
        ) from exc


def joined(pieces: Sequence[bytes]) -> str:
    """Return the text of some tokens."""
    return b"".join(pieces).decode(errors="replace")


def _pattern_of(names: Iterable[str]) -> re.Pattern[str]:
    """Return what finds a special token's name; one of a single character cannot be torn."""
    return re.compile("|".join(_escaped(names)) or r"(?!)")


def _escaped(names: Iterable[str]) -> Iterator[str]:
    return (re.escape(name) for name in sorted(names, key=len, reverse=True) if len(name) > 1)


def _bytes_of(piece: bytes, name: str) -> bytes:
    """Return the bytes of a token from how the vocabulary writes it and how it is decoded."""
    byte = _BYTE.fullmatch(piece)
    if byte is not None and name != piece.decode():
        return bytes([int(byte[1], 16)])
    if _SPACE in piece and _SPACE.decode() not in name:
        return piece.replace(_SPACE, b" ")
    return piece
