# SPDX-License-Identifier: GPL-3.0-only
"""What a model will hold in memory, by formula: from its shape and its options to bytes by part.

The measured size takes the place of this estimate as soon as the model is loaded.
"""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from modeld import MemoryEstimate
from modeld_llama_cpp.options import LlamaOptions
from modeld_llama_cpp.sizing import context_size
from modeld_llama_cpp.sizing.context_size import ContextSize, cells_for
from modeld_llama_cpp.sizing.model_shape import ModelShape

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
"""For small buffers that the formula does not count."""

CONSTRAINT_BYTES_PER_TOKEN = 256
"""What a token takes in the tree that constraints are followed with. Measured: 195 for SmolLM2's
49,152 tokens and 235 for Gemma's 262,144."""


def estimate(shape: ModelShape, options: LlamaOptions) -> MemoryEstimate:
    """Return what llama.cpp will hold, by formula; the prefix cache comes on top of it.

    LoRA adapters count as weights, and the vocabulary with what computing needs.
    """
    size = context_size.for_model(shape, options)
    return MemoryEstimate(
        weights_bytes=shape.weights_bytes + adapters_bytes(options),
        kv_bytes=kv_bytes(shape, options, size),
        compute_bytes=compute_bytes(shape, options, size) + vocabulary_bytes(shape),
    )


def whole(shape: ModelShape, options: LlamaOptions) -> MemoryEstimate:
    """Return what a model will hold in all, with what the engine holds beside llama.cpp."""
    return with_engine(estimate(shape, options), shape, options)


def with_engine(found: MemoryEstimate, shape: ModelShape, options: LlamaOptions) -> MemoryEstimate:
    """Add what the engine holds beside llama.cpp, of which a dry run tells nothing."""
    return replace(
        found,
        kv_bytes=found.kv_bytes + prefix_cache_bytes(shape, options),
        compute_bytes=found.compute_bytes + constraint_bytes(shape, options),
    )


def adapters_bytes(options: LlamaOptions) -> int:
    """Return what the LoRA adapters take: their files, which are little else than weights.

    A file that is gone takes nothing here: the load will name it.
    """
    paths = [Path(adapter.path).expanduser() for adapter in options.lora]
    return sum(path.stat().st_size for path in paths if path.is_file())


def constraint_bytes(shape: ModelShape, options: LlamaOptions) -> int:
    """Return what is held to follow constraints, beside the model itself."""
    if context_size.makes_vectors(shape, options):
        return 0
    return CONSTRAINT_BYTES_PER_TOKEN * shape.vocabulary


def kv_bytes(shape: ModelShape, options: LlamaOptions, size: ContextSize) -> int:
    """Return what tokens take: keys and values of all cells, and the state of every sequence.

    Layers with a sliding window are counted in full, as the engine keeps them so that sequences
    can be cut. Encoders keep nothing.
    """
    if not shape.causal:
        return 0
    return tokens_bytes(shape, options, cells_for(size.context), size.sequences)


def prefix_cache_bytes(shape: ModelShape, options: LlamaOptions) -> int:
    """Return what the prefix cache takes at most, in main memory and beside llama.cpp's."""
    if context_size.makes_vectors(shape, options) or not shape.causal:
        return 0
    context = context_size.context_tokens(options, shape.trained_length)
    tokens = context_size.prefix_cache_tokens(options, context)
    return tokens_bytes(shape, options, tokens, options.slots if tokens else 0)


def tokens_bytes(shape: ModelShape, options: LlamaOptions, tokens: int, sequences: int) -> int:
    """Return what the keys and values of tokens and the states of sequences take."""
    of_key, of_value = BLOCK_BYTES[options.cache_type_k], BLOCK_BYTES[options.cache_type_v]
    per_token = sum(layer.key * of_key + layer.value * of_value for layer in shape.layers)
    states = sequences * sum(layer.state for layer in shape.layers)
    return tokens * per_token // VALUES_PER_BLOCK + states * STATE_VALUE_BYTES


def compute_bytes(shape: ModelShape, options: LlamaOptions, size: ContextSize) -> int:
    """Return what intermediate results and logits take.

    The buffer for computing is as large as the largest of three stages, because each reuses what
    the one before has left. For every token of a ubatch, the attention takes eight rows of the
    embedding's width, the masks and, without flash attention, a score for each head and cell; the
    feed-forward eight such rows, the masks and two rows of its own width. At the end every output
    has a row of logits. And each sequence has a row of logits in the output buffer. That is up to
    3 % of the whole beside what llama.cpp allocates for the models it was measured with, on a CPU.
    """
    flash = options.flash_attention != "off"
    cells = cells_for(size.context)
    rows = 8 * 4 * shape.embedding_width
    masks = (2 if shape.has_window else 1) * cells * (2 if flash else 4)
    scores = 0 if flash else 4 * cells * shape.heads
    forward = 2 * 4 * shape.feed_forward_width
    logits = 4 * shape.vocabulary
    computing = max(
        size.ubatch * (rows + masks + max(scores, forward)),
        min(size.outputs, size.ubatch) * logits,
    )
    return computing + size.sequences * logits + SLACK_BYTES


def vocabulary_bytes(shape: ModelShape) -> int:
    """Return what the vocabulary takes in memory."""
    return VOCABULARY_FACTOR * shape.tokenizer_bytes
