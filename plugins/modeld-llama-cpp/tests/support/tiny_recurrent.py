# SPDX-License-Identifier: GPL-3.0-only
"""Writes a tiny model whose memory is one state and not a row of tokens."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray
from tiny_gguf import VOCABULARY, _write_tokenizer

WIDTH, INNER, STATE, KERNEL, RANK, LAYERS = 32, 64, 16, 4, 2, 3


def write_mamba(path: Path) -> Path:
    """Return a Mamba with random weights."""
    generator = np.random.default_rng(1)

    def random(*shape: int) -> NDArray[np.float32]:
        return generator.normal(0.0, 0.25, shape).astype(np.float32)

    writer = gguf.GGUFWriter(path, "mamba")
    writer.add_block_count(LAYERS)
    writer.add_context_length(2048)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(0)
    writer.add_head_count(0)
    writer.add_ssm_conv_kernel(KERNEL)
    writer.add_ssm_inner_size(INNER)
    writer.add_ssm_state_size(STATE)
    writer.add_ssm_time_step_rank(RANK)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)
    _write_tokenizer(writer, {})
    writer.add_tensor("token_embd.weight", random(VOCABULARY, WIDTH))
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    for layer in range(LAYERS):
        tensors = {
            "attn_norm.weight": np.ones(WIDTH, np.float32),
            "ssm_in.weight": random(2 * INNER, WIDTH),
            "ssm_conv1d.weight": random(INNER, KERNEL),
            "ssm_conv1d.bias": random(INNER),
            "ssm_x.weight": random(RANK + 2 * STATE, INNER),
            "ssm_dt.weight": random(INNER, RANK),
            "ssm_dt.bias": random(INNER),
            "ssm_a": -np.abs(random(INNER, STATE)),
            "ssm_d": random(INNER),
            "ssm_out.weight": random(WIDTH, INNER),
        }
        for name, tensor in tensors.items():
            writer.add_tensor(f"blk.{layer}.{name}", tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
