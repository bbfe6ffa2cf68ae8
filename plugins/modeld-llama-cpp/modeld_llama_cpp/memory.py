# SPDX-License-Identifier: GPL-3.0-only
"""What a model will hold in memory, computed from its header alone.

The measured size takes the place of this estimate as soon as the model is loaded.
"""

from __future__ import annotations

from pathlib import Path

from modeld import MemoryEstimate, ModelSpec
from modeld_llama_cpp import families, shape
from modeld_llama_cpp.header import Header
from modeld_llama_cpp.options import LlamaOptions
from modeld_llama_cpp.shape import Shape, cells_for

STATE_VALUE_BYTES = 4
"""The states of recurrent layers are 32-bit floats."""

VALUES_PER_BLOCK = 32

BLOCK_BYTES = {
    "f32": 128,
    "f16": 64,
    "bf16": 64,
    "q8_0": 34,
    "q5_1": 24,
    "q5_0": 22,
    "q4_1": 20,
    "q4_0": 18,
    "iq4_nl": 18,
}
"""What a block of 32 numbers takes in the KV cache."""

VOCABULARY_FACTOR = 7
"""How many times what the tokenizer takes in the file it takes in memory. Measured between 4.9
and 9 for vocabularies of all kinds, 6.3 for Gemma's and 7.3 for SmolLM2's."""

SLACK_BYTES = 1 << 19


def estimate(spec: ModelSpec, options: LlamaOptions) -> MemoryEstimate:
    """Weights from the tensor table, KV cache by formula, and what computing needs.

    LoRA adapters count as weights, and the vocabulary with what computing needs.
    """
    header = Header(spec)
    made = shape_of(spec, header, options)
    return MemoryEstimate(
        weights_bytes=(spec.weights_bytes or spec.size_bytes) + adapters_bytes(options),
        kv_bytes=kv_bytes(header, options, made),
        compute_bytes=buffers_bytes(header, options, made)
        + VOCABULARY_FACTOR * header.tokenizer_bytes,
    )


def shape_of(spec: ModelSpec, header: Header, options: LlamaOptions) -> Shape:
    """The context that will be made for the model."""
    if families.makes_vectors(spec, options):
        return shape.for_vectors(
            options,
            spec.context_length,
            pooling=header.number("pooling_type"),
            causal=header.causal,
        )
    return shape.for_text(options, spec.context_length)


def kv_bytes(header: Header, options: LlamaOptions, made: Shape) -> int:
    """What tokens take: keys and values of all cells, and the state of every sequence.

    Layers with a sliding window are counted in full, as the engine keeps them so that sequences
    can be cut. Encoders keep nothing.
    """
    if not header.causal:
        return 0
    return tokens_bytes(header, options, cells_for(made.context), made.sequences)


def kept_bytes(spec: ModelSpec, options: LlamaOptions) -> int:
    """What the engine keeps of ended requests at most, in bytes, beside the model itself."""
    header = Header(spec)
    if families.makes_vectors(spec, options) or not header.causal:
        return 0
    tokens = options.kept_tokens(options.context_for(spec.context_length))
    return tokens_bytes(header, options, tokens, options.slots if tokens else 0)


def tokens_bytes(header: Header, options: LlamaOptions, tokens: int, sequences: int) -> int:
    """Keys and values of so many tokens, and the recurrent state of so many sequences."""
    of_key, of_value = BLOCK_BYTES[options.cache_type_k], BLOCK_BYTES[options.cache_type_v]
    per_token = sum(
        key * of_key + value * of_value
        for kept, (key, value) in zip(
            header.attention_layers(), header.key_and_value_widths(), strict=True
        )
        if kept
    )
    states = sequences * sum(header.recurrent_layers()) * header.state_values()
    return tokens * per_token // VALUES_PER_BLOCK + states * STATE_VALUE_BYTES


def buffers_bytes(header: Header, options: LlamaOptions, made: Shape) -> int:
    """What intermediate results take, in bytes.

    The buffer for computing is as large as the largest of three stages, because each reuses what
    the one before has left. For every token of a ubatch, the attention takes eight rows of the
    embedding's width, the masks and, without flash attention, a score for each head and cell; the
    feed-forward eight such rows, the masks and two rows of its own width. At the end every output
    has a row of logits. And each sequence has a row of logits in the output buffer. That is up to
    3 % of the whole beside what llama.cpp allocates for the models it was measured with, on a CPU.
    """
    flash = options.flash_attention != "off"
    cells = cells_for(made.context)
    masks = 2 if header.number("attention.sliding_window") else 1
    rows = 8 * 4 * header.number("embedding_length")
    masked = masks * cells * (2 if flash else 4)
    scores = 0 if flash else 4 * cells * header.number("attention.head_count")
    forward = 2 * 4 * feed_forward_width(header)
    logits = 4 * header.vocabulary
    computing = max(
        made.ubatch * (rows + masked + max(scores, forward)),
        min(made.outputs, made.ubatch) * logits,
    )
    return computing + made.sequences * logits + SLACK_BYTES


def feed_forward_width(header: Header) -> int:
    """Numbers that one token has between the two halves of a feed-forward layer."""
    width = header.number("feed_forward_length")
    experts = header.number("expert_used_count")
    shared = header.number("expert_shared_feed_forward_length")
    return max(width, experts * header.number("expert_feed_forward_length", width) + shared)


def adapters_bytes(options: LlamaOptions) -> int:
    """What the LoRA adapters take, in bytes: their files, which are little else than weights.

    A file that is gone takes nothing here: the load will name it.
    """
    paths = [Path(adapter.path).expanduser() for adapter in options.lora]
    return sum(path.stat().st_size for path in paths if path.is_file())
