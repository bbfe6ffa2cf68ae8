# SPDX-License-Identifier: GPL-3.0-only
"""Writes tiny LoRA adapters for the tiny models."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

TARGET = "blk.0.attn_q.weight"


def write_lora(
    path: Path,
    *,
    width: int = 64,
    rank: int = 4,
    target: str = TARGET,
    family: str = "llama",
    seed: int = 7,
    activated_by: list[int] | None = None,
) -> Path:
    """Return an adapter with random weights for one matrix of ``width`` times ``width``."""
    generator = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, family)
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(rank))
    if activated_by is not None:
        key, kind = "adapter.alora.invocation_tokens", gguf.GGUFValueType
        writer.add_key_value(key, activated_by, kind.ARRAY, sub_type=kind.UINT32)
    for half, shape in (("lora_a", (rank, width)), ("lora_b", (width, rank))):
        tensor = generator.normal(0.0, 0.5, shape).astype(np.float32)
        writer.add_tensor(f"{target}.{half}", tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
