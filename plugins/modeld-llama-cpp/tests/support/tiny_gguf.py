# SPDX-License-Identifier: GPL-3.0-only
"""Writes tiny models that the real llama.cpp loads in milliseconds.

Their vocabulary has one token for each byte, so every text can be read and every token is one
byte; only the space has a token of its own, as llama.cpp writes it differently. There are two
kinds:

- *scripted*: the weights are laid out so that each token has one successor that is all but
  certain, whatever came before. What it answers is known beforehand.
- *random*: a real transformer with random weights. What it answers makes no sense but depends on
  everything in its memory, so it shows whether the memory is right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

UNKNOWN, BOS, EOS, END, SILENT = range(5)
FIRST_BYTE = 5
SPACE = FIRST_BYTE + 256
VOCABULARY = SPACE + 1

BEFORE_PROMPT, BEFORE_SUFFIX, BEFORE_MIDDLE, PAD = range(FIRST_BYTE + 1, FIRST_BYTE + 5)
"""The tokens of bytes that no text has; in a model for filling in they are something else."""

INFILL: Mapping[int, str] = {
    BEFORE_PROMPT: "<|fim_prefix|>",
    BEFORE_SUFFIX: "<|fim_suffix|>",
    BEFORE_MIDDLE: "<|fim_middle|>",
    PAD: "<|fim_pad|>",
}
"""What they are, by the texts that llama.cpp knows: the header option ``named``."""

Script = dict[bytes | int, bytes | int]
"""The successor of bytes and of special tokens."""

ALPHABET: Script = {
    **{bytes([c]): bytes([c + 1]) for c in range(ord("a"), ord("z"))},
    b"z": EOS,
}
"""After `a` comes `b`; after `z` the text ends."""


def token_of(byte: int | bytes) -> int:
    """Return the token of a byte."""
    number = byte if isinstance(byte, int) else byte[0]
    return SPACE if number == ord(" ") else FIRST_BYTE + number


def circle(text: bytes) -> Script:
    """Successors that make a text of different bytes follow itself without end."""
    return {text[i : i + 1]: text[(i + 1) % len(text)].to_bytes() for i in range(len(text))}


def write_scripted(path: Path, successors: Script = ALPHABET, **header: object) -> Path:
    """Return a model in which each token has the given successor, whatever came before."""
    width = 288
    embeddings = np.eye(VOCABULARY, width, dtype=np.float32)
    output = np.zeros((VOCABULARY, width), np.float32)
    for before, after in successors.items():
        output[_token(after), _token(before)] = 2.0
    shape = ContextSize(width=width, layers=1)
    _write(path, shape, lambda *size: np.zeros(size, np.float32), embeddings, output, **header)
    return path


def _token(named: bytes | int) -> int:
    return named if isinstance(named, int) else token_of(named)


def write_random(
    path: Path, *, seed: int = 1, width: int = 64, layers: int = 2, **header: object
) -> Path:
    """Return a model with random weights that writes printable ASCII without end."""
    generator = np.random.default_rng(seed)

    def random(*size: int) -> Array:
        return generator.normal(0.0, 0.25, size).astype(np.float32)

    embeddings, output = random(VOCABULARY, width), random(VOCABULARY, width)
    silent = [token for token in range(VOCABULARY) if not 32 <= token - FIRST_BYTE < 127]
    output[silent] = 0.0
    _write(path, ContextSize(width=width, layers=layers), random, embeddings, output, **header)
    return path


@dataclass(frozen=True)
class ContextSize:
    """How large the model is."""

    width: int
    layers: int


def _write(
    path: Path,
    shape: ContextSize,
    weights: Callable[..., Array],
    embeddings: Array,
    output: Array,
    **header: object,
) -> None:
    writer = gguf.GGUFWriter(path, "llama")
    _write_shape(writer, shape, header)
    _write_tokenizer(writer, header)
    assert not header, header
    writer.add_tensor("token_embd.weight", embeddings)
    writer.add_tensor("output.weight", output)
    writer.add_tensor("output_norm.weight", np.ones(shape.width, np.float32))
    for layer in range(shape.layers):
        for name, tensor in _layer(shape.width, weights):
            writer.add_tensor(f"blk.{layer}.{name}.weight", tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _layer(width: int, weights: Callable[..., Array]) -> Iterator[tuple[str, Array]]:
    yield "attn_norm", np.ones(width, np.float32)
    yield "ffn_norm", np.ones(width, np.float32)
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        yield name, weights(width, width)
    yield "ffn_gate", weights(2 * width, width)
    yield "ffn_up", weights(2 * width, width)
    yield "ffn_down", weights(width, 2 * width)


def _write_shape(writer: gguf.GGUFWriter, shape: ContextSize, header: dict[str, object]) -> None:
    writer.add_block_count(shape.layers)
    writer.add_context_length(header.pop("context_length", 2048))
    writer.add_embedding_length(shape.width)
    writer.add_feed_forward_length(2 * shape.width)
    heads = shape.width // 32
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_rope_dimension_count(shape.width // heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)


def _write_tokenizer(writer: gguf.GGUFWriter, header: dict[str, object]) -> None:
    end, silent = header.pop("end", "<|end|>"), header.pop("silent", "<|silent|>")
    specials = ["<unk>", "<s>", "</s>", end, silent]
    kinds = [gguf.TokenType.UNKNOWN] + [gguf.TokenType.CONTROL] * (FIRST_BYTE - 1)
    kinds[SILENT] = header.pop("silent_kind", gguf.TokenType.CONTROL)
    tokens = [*specials, *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581"]
    kinds += [*[gguf.TokenType.BYTE] * 256, gguf.TokenType.NORMAL]
    kind = header.pop("named_kind", gguf.TokenType.CONTROL)
    for token, text in header.pop("named", {}).items():
        tokens[token], kinds[token] = text, kind
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * VOCABULARY)
    writer.add_token_types(kinds)
    for key, token in header.pop("ids", {}).items():
        writer.add_uint32(f"tokenizer.ggml.{key}_token_id", token)
    writer.add_bos_token_id(header.pop("bos", BOS))
    writer.add_eos_token_id(EOS)
    writer.add_unk_token_id(UNKNOWN)
    writer.add_add_bos_token(header.pop("add_bos", True))
    writer.add_add_eos_token(header.pop("add_eos", False))
    writer.add_add_space_prefix(header.pop("space_prefix", False))
    if (template := header.pop("chat_template", None)) is not None:
        writer.add_chat_template(template)
