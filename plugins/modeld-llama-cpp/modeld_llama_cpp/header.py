# SPDX-License-Identifier: GPL-3.0-only
"""A model's shape, as its file's header says it. Loads no runtime."""

from __future__ import annotations

from collections.abc import Mapping

from modeld import ModelSpec
from modeld.values import MetadataValue
from modeld_llama_cpp.families import ENCODERS

LARGEST_VOCABULARY = 262_144
"""Assumed where nothing tells the vocabulary's size: Gemma's, the largest in use."""

_TOKEN_BYTES = {"gpt2": 36}
_OTHER_TOKEN_BYTES = 24
"""What a token takes in the header: its text, score and kind, and in byte-pair ones its merges."""

_FULL_ATTENTION_INTERVAL = 4
"""Of Qwen3-Next and its successors, where the header does not say another."""

_INTERVAL_FAMILIES = frozenset({"qwen3next", "qwen35", "qwen35moe"})
_PURE = frozenset({"mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7"})
_BOTH = frozenset({"falcon-h1"})


class Header:
    """Values that the header has under ``FAMILY.key``, and what follows from them."""

    def __init__(self, spec: ModelSpec) -> None:
        self._values: Mapping[str, MetadataValue] = spec.metadata
        self._family = str(spec.metadata.get("general.architecture", spec.family))
        known = spec.weights_bytes or spec.size_bytes
        self.tokenizer_bytes = max(0, spec.size_bytes - known)

    def number(self, key: str, default: int = 0) -> int:
        """A number; of one that differs by layer the largest."""
        value = self._values.get(f"{self._family}.{key}", default)
        if isinstance(value, list):
            return max((item for item in value if isinstance(item, int)), default=default)
        return value if isinstance(value, int) else default

    def per_layer(self, key: str, default: int = 0) -> list[int]:
        """A number for each layer, however the header says it."""
        layers = self.number("block_count")
        value = self._values.get(f"{self._family}.{key}")
        if isinstance(value, list) and len(value) == layers:
            return [item if isinstance(item, int) else default for item in value]
        return [self.number(key, default)] * layers

    @property
    def causal(self) -> bool:
        """Whether no token looks ahead."""
        said = self._values.get(f"{self._family}.attention.causal")
        return said is not False and self._family not in ENCODERS

    @property
    def vocabulary(self) -> int:
        """How many tokens there are. Where it is not said, judged by what they take in the file."""
        kind = str(self._values.get("tokenizer.ggml.model"))
        judged = self.tokenizer_bytes // _TOKEN_BYTES.get(kind, _OTHER_TOKEN_BYTES)
        return self.number("vocab_size", judged or LARGEST_VOCABULARY)

    def recurrent_layers(self) -> list[bool]:
        """Of each layer, whether it keeps a state of one size instead of all tokens."""
        layers = self.number("block_count")
        if self._family in _PURE or self._family in _BOTH:
            return [True] * layers
        if self._family in _INTERVAL_FAMILIES:
            interval = self.number("full_attention_interval", _FULL_ATTENTION_INTERVAL)
            return [(layer + 1) % interval != 0 for layer in range(layers)]
        if not self.state_values():
            return [False] * layers
        heads, widths = self.per_layer("attention.head_count_kv"), self._feed_forward()
        return [not head and not width for head, width in zip(heads, widths, strict=True)]

    def attention_layers(self) -> list[bool]:
        """Of each layer, whether it keeps keys and values of all tokens."""
        layers = self.number("block_count")
        own = layers - self.number("attention.shared_kv_layers")
        own -= self.number("nextn_predict_layers")
        if self._family in _BOTH:
            return [True] * layers
        return [
            layer < own and not recurrent for layer, recurrent in enumerate(self.recurrent_layers())
        ]

    def state_values(self) -> int:
        """Of how many numbers the state of one sequence in one recurrent layer consists."""
        width, heads = self.number("embedding_length"), self.number("attention.head_count")
        convolved = max(0, self.number("ssm.conv_kernel") - 1)
        if wkv := self.number("wkv.head_size"):
            return width * (self.number("token_shift_count", 2) + wkv)
        if short := self.number("shortconv.l_cache"):
            return width * (short - 1)
        if kda := self.number("kda.head_dim"):
            return heads * kda * (3 * convolved + kda)
        inner, state = self.number("ssm.inner_size"), self.number("ssm.state_size")
        return convolved * (inner + 2 * self.number("ssm.group_count") * state) + inner * state

    def key_and_value_widths(self) -> list[tuple[int, int]]:
        """Of each layer, how many numbers are kept as key and as value of one token."""
        heads = self.number("attention.head_count")
        width = self.number("embedding_length") // heads if heads else 0
        key = self.number("attention.key_length", width)
        value = self.number("attention.value_length", width)
        if self.number("attention.key_length_mla") and self.number("attention.value_length_mla"):
            value = 0  # latent attention: the value is a part of the key
        windowed = (
            self.number("attention.key_length_swa", key),
            self.number("attention.value_length_swa", value),
        )
        return [
            (count * of_key, count * of_value)
            for count, (of_key, of_value) in zip(
                self.per_layer("attention.head_count_kv", heads),
                [windowed if slides else (key, value) for slides in self._sliding_layers()],
                strict=True,
            )
        ]

    def _sliding_layers(self) -> list[bool]:
        pattern = self._values.get(f"{self._family}.attention.sliding_window_pattern")
        layers = self.number("block_count")
        if isinstance(pattern, list) and len(pattern) == layers:
            return [bool(slides) for slides in pattern]
        return [False] * layers

    def _feed_forward(self) -> list[int]:
        """Widths by layer, where the header tells them apart: one of 0 is no such layer."""
        value = self._values.get(f"{self._family}.feed_forward_length")
        layers = self.number("block_count")
        return self.per_layer("feed_forward_length") if isinstance(value, list) else [0] * layers
