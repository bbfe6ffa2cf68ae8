# SPDX-License-Identifier: GPL-3.0-only
"""Which models write text, which make vectors, and which do neither. By their header alone."""

from __future__ import annotations

from modeld import ModelSpec
from modeld_llama_cpp.options import LlamaOptions

ENCODERS = frozenset(
    {
        "bert", "modern-bert", "neo-bert", "eurobert", "nomic-bert", "nomic-bert-moe",
        "jina-bert-v2", "jina-bert-v3", "gemma-embedding", "llama-embed",
    }
)  # fmt: skip
"""Families that make one vector of a text and never write any."""

NOT_SERVED = frozenset(
    {"t5", "t5encoder", "clip", "mmproj", "wavtokenizer-dec", "dream", "llada", "llada-moe", "rnd1"}
)
"""Encoder-decoders, parts of others, and models that write whole texts by diffusion."""

WITH_POSITION_TABLE = frozenset({"bert", "gpt2", "starcoder", "mpt"})
"""Families for which llama.cpp ends the process where a position is not in their table."""


def makes_vectors(spec: ModelSpec, options: LlamaOptions) -> bool:
    """Whether the model answers with vectors, as its options or else its header say."""
    if options.embeddings is not None:
        return options.embeddings
    pooling = spec.metadata.get(f"{spec.family}.pooling_type", 0)
    return options.pooling is not None or spec.family in ENCODERS or bool(pooling)
