# SPDX-License-Identifier: GPL-3.0-only
"""A model's vocabulary: text to tokens and tokens to text."""

from __future__ import annotations

import ctypes
from functools import cached_property

import llama_cpp

from modeld.errors import InvalidRequestError
from modeld_llama_cpp.tokens.special_tokens import SpecialTokens, read_special_tokens
from modeld_llama_cpp.tokens.text_splitting import TextSplitter

_PIECE_BYTES = 256


class Vocabulary:
    """Translates between text and tokens. May be used on any thread."""

    def __init__(self, model: int) -> None:
        vocab = llama_cpp.llama_model_get_vocab(model)
        assert vocab is not None
        self.address: int = vocab
        self._vocab = vocab
        self._pieces: dict[int, bytes | None] = {}
        self._written: dict[int, bytes] = {}
        self.size = llama_cpp.llama_vocab_n_tokens(vocab)
        self.bos_text = self._special_text(llama_cpp.llama_vocab_bos(vocab))
        self.eos_text = self._special_text(llama_cpp.llama_vocab_eos(vocab))

    def tokenize(self, text: bytes, *, add_special: bool, parse_special: bool = True) -> list[int]:
        """Return the tokens of a text: of a prompt, a rendered chat, an input, whatever is asked.

        ``add_special`` puts those around it that the model was trained to see around a text, but
        none that the text brings itself: it never begins or ends with two of them on that account.
        With ``parse_special`` special tokens that are written out in it become special tokens. A
        long text is read in pieces where that makes no difference; :mod:`.text_splitting` says why.

        Raises:
            InvalidRequestError: llama.cpp has no tokens for it.
        """
        splitter = self._splitter if parse_special else self._splitter_unparsed
        tokens: list[int] = []
        for piece in splitter.pieces(text) if len(text) > TextSplitter.STEP_BYTES else [text]:
            tokens += self._read(piece, add_special=False, parse_special=parse_special)
        return self.framed(tokens) if add_special else tokens

    def piece(self, token: int) -> bytes | None:
        """Return the bytes of a token: none for special ones, ``None`` where the text ends."""
        try:
            return self._pieces[token]
        except KeyError:
            ends = llama_cpp.llama_vocab_is_eog(self._vocab, token)
            piece = None if ends else self._read_piece(token, special=False)
            self._pieces[token] = piece
            return piece

    def written(self, token: int) -> bytes:
        """Return the bytes of a token, with special ones written out."""
        try:
            return self._written[token]
        except KeyError:
            return self._written.setdefault(token, self._read_piece(token, special=True))

    @property
    def beginning(self) -> list[int]:
        """Return the token that comes before every text, if the model wants one."""
        wanted = llama_cpp.llama_vocab_get_add_bos(self._vocab)
        return [llama_cpp.llama_vocab_bos(self._vocab)] if wanted else []

    @property
    def ending(self) -> list[int]:
        """Return the token that comes after every text, if the model wants one."""
        wanted = llama_cpp.llama_vocab_get_add_eos(self._vocab)
        eos = llama_cpp.llama_vocab_eos(self._vocab)
        token = eos if eos >= 0 else llama_cpp.llama_vocab_sep(self._vocab)
        return [token] if wanted else []

    @property
    def separator(self) -> list[int]:
        """Return the token that comes between two texts, if the model wants one."""
        wanted = llama_cpp.llama_vocab_get_add_sep(self._vocab)
        return [llama_cpp.llama_vocab_sep(self._vocab)] if wanted else []

    @property
    def infill(self) -> tuple[int, int, int] | None:
        """Return the tokens before a prompt, a suffix and what is between, if it has all."""
        marks = (
            llama_cpp.llama_vocab_fim_pre(self._vocab),
            llama_cpp.llama_vocab_fim_suf(self._vocab),
            llama_cpp.llama_vocab_fim_mid(self._vocab),
        )
        return marks if min(marks) >= 0 else None

    def framed(self, tokens: list[int]) -> list[int]:
        """Return the tokens with those around them that the model wants and that are not there yet.

        llama.cpp reads a text in the same way with and without them.
        """
        before, after = self._around
        inner = tokens[len(before) :] if tokens[: len(before)] == before else tokens
        ended = bool(after) and inner[-len(after) :] == after
        return [*before, *inner] if ended else [*before, *inner, *after]

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
        """Return the tokens that the tokenizer puts before and after a text, found by trying."""
        bare, framed = (
            self._read(b"a", add_special=special, parse_special=False) for special in (False, True)
        )
        starts = range(len(framed) - len(bare) + 1)
        start = next(at for at in starts if framed[at : at + len(bare)] == bare)
        return framed[:start], framed[start + len(bare) :]

    @cached_property
    def special_tokens(self) -> SpecialTokens:
        """Return the tokens that are no ordinary text. To read them takes long, once."""
        return read_special_tokens(self._vocab)

    @cached_property
    def _splitter(self) -> TextSplitter:
        return TextSplitter(self.special_tokens.stripping(parse_special=True))

    @cached_property
    def _splitter_unparsed(self) -> TextSplitter:
        return TextSplitter(self.special_tokens.stripping(parse_special=False))

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
