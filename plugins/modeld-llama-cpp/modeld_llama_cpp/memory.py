# SPDX-License-Identifier: GPL-3.0-only
"""What a model will hold in memory, computed from its header alone.

The measured size takes the place of this estimate as soon as the model is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping

from modeld import MemoryEstimate, ModelSpec
from modeld.values import MetadataValue
from modeld_llama_cpp.options import LlamaOptions, cells_for

KV_VALUE_BYTES = 2
"""Keys and values are kept as 16-bit floats."""

LARGEST_VOCABULARY = 262_144
"""Assumed where the header does not give the vocabulary's size: Gemma's, the largest in use."""

COMPUTE_SLACK_BYTES = 1 << 20


def estimate(spec: ModelSpec, options: LlamaOptions) -> MemoryEstimate:
    """Weights from the tensor table, KV cache by formula, and an allowance for computing."""
    header = Header(spec)
    context = cells_for(options.context_for(spec.context_length))
    return MemoryEstimate(
        weights_bytes=spec.weights_bytes or spec.size_bytes,
        kv_bytes=context * header.kv_bytes_per_cell(),
        compute_bytes=compute_bytes(header, options, context),
    )


def compute_bytes(header: Header, options: LlamaOptions, context: int) -> int:
    """An allowance for intermediate results, in bytes.

    For every token of a ubatch: two rows of the feed-forward and eight of the embedding width as
    32-bit floats, and one row of each attention mask as 16-bit floats. For every slot: its logits,
    once while computing and once as output. And one MiB for what is small. That is 1 to 4 MiB above
    what llama.cpp allocates for the models it was measured with, on a CPU with flash attention.
    """
    masks = 2 if header.number("attention.sliding_window") else 1
    per_token = (
        2 * 4 * header.number("feed_forward_length")
        + 8 * 4 * header.number("embedding_length")
        + 2 * masks * context
    )
    logits = 4 * header.number("vocab_size", LARGEST_VOCABULARY)
    ubatch = min(options.ubatch, options.step_tokens)
    return ubatch * per_token + 2 * options.slots * logits + COMPUTE_SLACK_BYTES


class Header:
    """A model's shape, read from its header's values under ``ARCHITECTURE.key``."""

    def __init__(self, spec: ModelSpec) -> None:
        self._values: Mapping[str, MetadataValue] = spec.metadata
        self._architecture = str(spec.metadata.get("general.architecture", spec.family))

    def number(self, key: str, default: int = 0) -> int:
        """A number; of one that differs by layer the largest."""
        value = self._values.get(f"{self._architecture}.{key}", default)
        if isinstance(value, list):
            return max((item for item in value if isinstance(item, int)), default=default)
        return value if isinstance(value, int) else default

    def per_layer(self, key: str, default: int) -> list[int]:
        """A number for each layer, however the header says it."""
        layers = self.number("block_count")
        value = self._values.get(f"{self._architecture}.{key}")
        if isinstance(value, list) and len(value) == layers:
            return [item if isinstance(item, int) else default for item in value]
        return [self.number(key, default)] * layers

    def kv_bytes_per_cell(self) -> int:
        """What one token takes in the KV cache, over all layers.

        Per layer: KV heads * (key length + value length) * 2 bytes. Layers with a sliding window
        are counted in full, as the engine keeps them so that sequences can be cut. The state of
        recurrent layers, which does not grow with the context, is not counted.
        """
        heads = self.number("attention.head_count")
        width = self.number("embedding_length") // heads if heads else 0
        key = self.number("attention.key_length", width)
        value = self.number("attention.value_length", width)
        kv_heads = sum(self.per_layer("attention.head_count_kv", heads))
        return kv_heads * (key + value) * KV_VALUE_BYTES
