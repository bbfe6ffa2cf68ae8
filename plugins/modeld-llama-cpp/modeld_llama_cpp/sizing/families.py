# SPDX-License-Identifier: GPL-3.0-only
"""Families of models that differ from those that write text. Loads no runtime."""

from __future__ import annotations

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
