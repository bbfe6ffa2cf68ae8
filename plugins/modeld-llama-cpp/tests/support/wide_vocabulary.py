# SPDX-License-Identifier: GPL-3.0-only
"""Writes a vocabulary as wide as those of real models, without any weights."""

from __future__ import annotations

from pathlib import Path

import gguf
import llama_cpp

SIZE = 20_003
"""Not a multiple of anything."""

UNKNOWN, BOS, EOS, FIRST_BYTE = 0, 1, 2, 3
FIRST_WORD = FIRST_BYTE + 256


def token_of(byte: bytes) -> int:
    """Return the token of a single byte."""
    return FIRST_BYTE + byte[0]


def word(token: int) -> str:
    """Return the text of a token that is a word. Each letter begins as many of them."""
    return f"{chr(ord('a') + token % 26)}{token}"


def write(path: Path) -> Path:
    """Return a GGUF file with one token for each byte and words: a letter and the token's id."""
    writer = gguf.GGUFWriter(path, "llama")
    words = [word(token) for token in range(FIRST_WORD, SIZE)]
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(
        ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), *words]
    )
    writer.add_token_scores([0.0] * SIZE)
    writer.add_token_types(
        [*kinds, *[gguf.TokenType.BYTE] * 256, *[gguf.TokenType.NORMAL] * len(words)]
    )
    writer.add_bos_token_id(BOS)
    writer.add_eos_token_id(EOS)
    writer.add_unk_token_id(UNKNOWN)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def load(path: Path) -> int:
    """Return the model that consists of this vocabulary; must be freed."""
    params = llama_cpp.llama_model_default_params()
    params.vocab_only = True
    model: int = llama_cpp.llama_model_load_from_file(bytes(path), params)
    return model


def free(model: int) -> None:
    """Give the vocabulary back."""
    llama_cpp.llama_model_free(model)
