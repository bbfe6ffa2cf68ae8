# SPDX-License-Identifier: GPL-3.0-only
"""A model's vocabulary: text to tokens and tokens to text."""

from __future__ import annotations

import ctypes
from functools import cached_property

import llama_cpp

from modeld.errors import InvalidRequestError
from modeld_llama_cpp.cuts import Cuts

_PIECE_BYTES = 256

_READ_IN_TEXT = llama_cpp.LLAMA_TOKEN_ATTR_USER_DEFINED
_READ_IF_PARSED = (
    _READ_IN_TEXT | llama_cpp.LLAMA_TOKEN_ATTR_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_UNKNOWN
)


class Vocabulary:
    """Translates between text and tokens. May be used on any thread."""

    def __init__(self, model: int) -> None:
        vocab = llama_cpp.llama_model_get_vocab(model)
        assert vocab is not None
        self._vocab = vocab
        self._pieces: dict[int, bytes | None] = {}
        self._written: dict[int, bytes] = {}
        self.size = llama_cpp.llama_vocab_n_tokens(vocab)
        self.bos_text = self._special_text(llama_cpp.llama_vocab_bos(vocab))
        self.eos_text = self._special_text(llama_cpp.llama_vocab_eos(vocab))

    def tokenize(self, text: bytes, *, add_special: bool, parse_special: bool = True) -> list[int]:
        """The tokens of a text.

        ``add_special`` puts those around it that the model was trained to see around a text. With
        ``parse_special`` special tokens that are written out in it become special tokens. A long
        text is read in pieces where that makes no difference; :mod:`.cuts` says why.

        Raises:
            InvalidRequestError: llama.cpp has no tokens for it.
        """
        cuts = self._cuts if parse_special else self._cuts_unparsed
        pieces = cuts.pieces(text) if len(text) > Cuts.STEP_BYTES else [text]
        if len(pieces) == 1:
            return self._read(text, add_special=add_special, parse_special=parse_special)
        tokens = [*self._around[0]] if add_special else []
        for piece in pieces:
            tokens += self._read(piece, add_special=False, parse_special=parse_special)
        return [*tokens, *self._around[1]] if add_special else tokens

    def piece(self, token: int) -> bytes | None:
        """The bytes that a token stands for; none for special ones, ``None`` where text ends."""
        try:
            return self._pieces[token]
        except KeyError:
            ends = llama_cpp.llama_vocab_is_eog(self._vocab, token)
            piece = None if ends else self._read_piece(token, special=False)
            self._pieces[token] = piece
            return piece

    def written(self, token: int) -> bytes:
        """As :meth:`piece`, but special tokens are written out."""
        try:
            return self._written[token]
        except KeyError:
            return self._written.setdefault(token, self._read_piece(token, special=True))

    @property
    def beginning(self) -> list[int]:
        """The token that comes before every text, if the model wants one."""
        wanted = llama_cpp.llama_vocab_get_add_bos(self._vocab)
        return [llama_cpp.llama_vocab_bos(self._vocab)] if wanted else []

    @property
    def ending(self) -> list[int]:
        """The token that comes after every text, if the model wants one."""
        wanted = llama_cpp.llama_vocab_get_add_eos(self._vocab)
        eos = llama_cpp.llama_vocab_eos(self._vocab)
        token = eos if eos >= 0 else llama_cpp.llama_vocab_sep(self._vocab)
        return [token] if wanted else []

    @property
    def separator(self) -> list[int]:
        """The token that comes between two texts, if the model wants one."""
        wanted = llama_cpp.llama_vocab_get_add_sep(self._vocab)
        return [llama_cpp.llama_vocab_sep(self._vocab)] if wanted else []

    def _read(self, text: bytes, *, add_special: bool, parse_special: bool) -> list[int]:
        size = len(text) + 2
        while True:
            tokens = (ctypes.c_int32 * size)()
            count = llama_cpp.llama_tokenize(
                self._vocab, text, len(text), tokens, size, add_special, parse_special
            )
            if count >= 0:
                return tokens[:count]
            if -count <= size:
                raise InvalidRequestError("the text cannot be tokenised")
            size = -count

    @cached_property
    def _around(self) -> tuple[list[int], list[int]]:
        """What the tokenizer puts before and after a text."""
        bare, framed = (
            self._read(b"a", add_special=special, parse_special=False) for special in (False, True)
        )
        starts = range(len(framed) - len(bare) + 1)
        start = next(at for at in starts if framed[at : at + len(bare)] == bare)
        return framed[:start], framed[start + len(bare) :]

    @cached_property
    def _cuts(self) -> Cuts:
        return Cuts(self._specials(_READ_IF_PARSED))

    @cached_property
    def _cuts_unparsed(self) -> Cuts:
        return Cuts(self._specials(_READ_IN_TEXT))

    def _specials(self, kinds: int) -> dict[bytes, bool]:
        """The texts of some kinds of tokens, and whether each takes the space before it away."""
        found: dict[bytes, bool] = {}
        for token in range(self.size):
            attributes = llama_cpp.llama_vocab_get_attr(self._vocab, token)
            if attributes & kinds and (text := llama_cpp.llama_vocab_get_text(self._vocab, token)):
                found[text] = bool(attributes & llama_cpp.LLAMA_TOKEN_ATTR_LSTRIP)
        return found

    def _read_piece(self, token: int, *, special: bool) -> bytes:
        buffer = ctypes.create_string_buffer(_PIECE_BYTES)
        size = llama_cpp.llama_token_to_piece(self._vocab, token, buffer, len(buffer), 0, special)
        if size < 0:
            buffer = ctypes.create_string_buffer(-size)
            size = llama_cpp.llama_token_to_piece(
                self._vocab, token, buffer, len(buffer), 0, special
            )
        return buffer.raw[:size]

    def _special_text(self, token: int) -> str:
        if token < 0:
            return ""
        return self._read_piece(token, special=True).decode(errors="replace")
