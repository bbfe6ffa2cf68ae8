# SPDX-License-Identifier: GPL-3.0-only
"""A model's vocabulary: text to tokens and tokens to text."""

from __future__ import annotations

import ctypes

import llama_cpp

from modeld.errors import InvalidRequestError

_PIECE_BYTES = 256


class Vocabulary:
    """Translates between text and tokens. Tokenising may be done on any thread."""

    def __init__(self, model: int) -> None:
        vocab = llama_cpp.llama_model_get_vocab(model)
        assert vocab is not None
        self._vocab = vocab
        self._pieces: dict[int, bytes | None] = {}
        self.size = llama_cpp.llama_vocab_n_tokens(vocab)
        self.bos_text = self._special_text(llama_cpp.llama_vocab_bos(vocab))
        self.eos_text = self._special_text(llama_cpp.llama_vocab_eos(vocab))

    def tokenize(self, text: bytes, *, add_special: bool) -> list[int]:
        """The tokens of a text. Special tokens written out in it become special tokens.

        ``add_special`` puts those around it that the model was trained to see around a text.
        """
        size = len(text) + 2
        while True:
            tokens = (ctypes.c_int32 * size)()
            count = llama_cpp.llama_tokenize(
                self._vocab,
                text,
                len(text),
                tokens,
                size,
                add_special,
                True,  # noqa: FBT003  (parse_special; the binding takes no keywords)
            )
            if count >= 0:
                return tokens[:count]
            if -count <= size:
                raise InvalidRequestError("the prompt cannot be tokenised", field="prompt")
            size = -count

    def piece(self, token: int) -> bytes | None:
        """The bytes that a token stands for; none for special ones, ``None`` where text ends."""
        try:
            return self._pieces[token]
        except KeyError:
            ends = llama_cpp.llama_vocab_is_eog(self._vocab, token)
            piece = None if ends else self._read_piece(token, special=False)
            self._pieces[token] = piece
            return piece

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
