# SPDX-License-Identifier: GPL-3.0-only
"""Encoders of the BERT kind: written as GGUF for llama.cpp, and computed with numpy to compare."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

PAD, UNK, CLS, SEP, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
SPECIALS = (PAD, UNK, CLS, SEP, MASK)

WORDS = (
    *SPECIALS,
    *("the", "cat", "dog", "king", "queen", "sat", "ran", "on", "in", "mat", "house", "of"),
    *("is", "and", "red", "blue"),
    *(chr(code) for code in range(ord("a"), ord("z") + 1)),
    *(f"##{chr(code)}" for code in range(ord("a"), ord("z") + 1)),
    ".",
)
"""A vocabulary in which every lower-case word has tokens: of its own, or its letters'."""

LAYER = (
    "attn_q", "attn_k", "attn_v", "attn_output", "attn_output_norm",
    "ffn_up", "ffn_down", "layer_output_norm",
)  # fmt: skip


@dataclass(kw_only=True)
class Bert:
    """An encoder: its weights by llama.cpp's names, its vocabulary, its shape."""

    weights: dict[str, Array]
    words: Sequence[str]
    layers: int
    heads: int
    length: int
    pooling: gguf.PoolingType

    def __getitem__(self, name: str) -> Array:
        return self.weights[name]

    @property
    def width(self) -> int:
        return self["token_embd.weight"].shape[1]

    def write(self, path: Path, *, add_eos: bool = False) -> Path:
        """Return the model as a file. ``add_eos`` has an end put behind each of two texts."""
        writer = gguf.GGUFWriter(path, "bert")
        writer.add_context_length(self.length)
        writer.add_embedding_length(self.width)
        writer.add_block_count(self.layers)
        writer.add_feed_forward_length(self["blk.0.ffn_up.weight"].shape[0])
        writer.add_head_count(self.heads)
        writer.add_layer_norm_eps(1e-12)
        writer.add_causal_attention(False)
        writer.add_pooling_type(self.pooling)
        self._write_vocabulary(writer)
        writer.add_add_eos_token(add_eos)
        for name, array in self.weights.items():
            writer.add_tensor(name, np.ascontiguousarray(array))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    def _write_vocabulary(self, writer: gguf.GGUFWriter) -> None:
        special = [word in SPECIALS for word in self.words]
        kinds = (gguf.TokenType.NORMAL, gguf.TokenType.CONTROL)
        writer.add_tokenizer_model("bert")
        writer.add_tokenizer_pre("jina-v2-en")
        writer.add_token_list(
            [_phantom(word, is_special=is_) for word, is_ in zip(self.words, special, strict=True)]
        )
        writer.add_token_types([kinds[is_special] for is_special in special])
        writer.add_token_type_count(self["token_types.weight"].shape[0])
        writer.add_bos_token_id(self.words.index(CLS))
        writer.add_sep_token_id(self.words.index(SEP))
        writer.add_unk_token_id(self.words.index(UNK))
        writer.add_pad_token_id(self.words.index(PAD))
        writer.add_mask_token_id(self.words.index(MASK))

    def hidden(self, tokens: Sequence[int]) -> Array:
        """Return the last layer's output for each token of a text."""
        state = (
            self["token_embd.weight"][list(tokens)]
            + self["position_embd.weight"][: len(tokens)]
            + self["token_types.weight"][0]
        )
        state = self._norm("token_embd_norm", state)
        for layer in range(self.layers):
            state = self._layer(f"blk.{layer}", state)
        return state

    def vector(self, tokens: Sequence[int]) -> Array:
        """Return the pooled vector of a text, or the score of a pair."""
        hidden = self.hidden(tokens)
        match self.pooling:
            case gguf.PoolingType.MEAN:
                return np.asarray(hidden.mean(axis=0))
            case gguf.PoolingType.CLS:
                return hidden[0]
            case gguf.PoolingType.LAST:
                return hidden[-1]
            case _:
                return self._linear("cls.output", np.tanh(self._linear("cls", hidden[0])))

    def _layer(self, name: str, state: Array) -> Array:
        query, key, value = (
            self._linear(f"{name}.attn_{which}", state)
            .reshape(len(state), self.heads, -1)
            .swapaxes(0, 1)
            for which in "qkv"
        )
        scores = query @ key.swapaxes(1, 2) / math.sqrt(query.shape[-1])
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        seen = (shares @ value).swapaxes(0, 1).reshape(len(state), -1)
        state = self._norm(
            f"{name}.attn_output_norm", state + self._linear(f"{name}.attn_output", seen)
        )
        inner = _gelu(self._linear(f"{name}.ffn_up", state))
        return self._norm(
            f"{name}.layer_output_norm", state + self._linear(f"{name}.ffn_down", inner)
        )

    def _linear(self, name: str, state: Array) -> Array:
        return state @ self[f"{name}.weight"].T + self[f"{name}.bias"]

    def _norm(self, name: str, state: Array) -> Array:
        centred = state - state.mean(axis=-1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
        return centred / deviation * self[f"{name}.weight"] + self[f"{name}.bias"]


def random_bert(seed: int, pooling: gguf.PoolingType, *, length: int = 64) -> Bert:
    """Return a small encoder with random weights, with a classification head if it is to rank."""
    width, inner, layers = 32, 64, 2
    generator = np.random.default_rng(seed)

    def normal(*shape: int) -> Array:
        return generator.normal(0, 1.5 / math.sqrt(shape[-1]), shape).astype(np.float32)

    weights = {
        "token_embd.weight": normal(len(WORDS), width) * 4,
        "token_types.weight": normal(2, width),
        "position_embd.weight": normal(length, width),
        **_with_bias("token_embd_norm", 1 + normal(width), normal),
    }
    for layer in range(layers):
        sizes = {"ffn_up": (inner, width), "ffn_down": (width, inner)}
        for name in LAYER:
            weight = (
                1 + normal(width)
                if name.endswith("norm")
                else normal(*sizes.get(name, (width, width)))
            )
            weights |= _with_bias(f"blk.{layer}.{name}", weight, normal)
    if pooling is gguf.PoolingType.RANK:
        weights |= _with_bias("cls", normal(width, width), normal)
        weights |= _with_bias("cls.output", normal(1, width), normal)
    return Bert(
        weights=weights, words=WORDS, layers=layers, heads=4, length=length, pooling=pooling
    )


def _with_bias(name: str, weight: Array, normal: Callable[..., Array]) -> dict[str, Array]:
    return {f"{name}.weight": weight, f"{name}.bias": normal(weight.shape[0]) * 0.3}


def _phantom(word: str, *, is_special: bool) -> str:
    """A word as llama.cpp wants it: its beginning marked, where WordPiece marks the inside."""
    if is_special:
        return word
    return word.removeprefix("##") if word.startswith("##") else f"\u2581{word}"


def _gelu(x: Array) -> Array:
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
