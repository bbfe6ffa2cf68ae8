# SPDX-License-Identifier: GPL-3.0-only
"""A model whose positions are a table: llama.cpp ends the process where one is not in it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
from driver import Driver, ask
from numpy.typing import NDArray
from tiny_gguf import VOCABULARY, _write_tokenizer

from modeld import FinishReason
from modeld.errors import PromptTooLongError

TRAINED, WIDTH = 64, 32


def write_gpt2(path: Path) -> Path:
    """A GPT-2 of one layer with random weights."""
    generator = np.random.default_rng(1)

    def random(*shape: int) -> NDArray[np.float32]:
        return generator.normal(0.0, 0.25, shape).astype(np.float32)

    writer = gguf.GGUFWriter(path, "gpt2")
    writer.add_block_count(1)
    writer.add_context_length(TRAINED)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(2 * WIDTH)
    writer.add_head_count(2)
    writer.add_layer_norm_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)
    _write_tokenizer(writer, {})
    sizes = {
        "attn_norm": (WIDTH,), "ffn_norm": (WIDTH,), "attn_qkv": (3 * WIDTH, WIDTH),
        "attn_output": (WIDTH, WIDTH), "ffn_up": (2 * WIDTH, WIDTH), "ffn_down": (WIDTH, 2 * WIDTH),
    }  # fmt: skip
    writer.add_tensor("token_embd.weight", random(VOCABULARY, WIDTH))
    writer.add_tensor("position_embd.weight", random(TRAINED, WIDTH))
    for name in ("weight", "bias"):
        writer.add_tensor(f"output_norm.{name}", np.ones(WIDTH, np.float32))
    for name, size in sizes.items():
        writer.add_tensor(f"blk.0.{name}.weight", random(*size))
        writer.add_tensor(f"blk.0.{name}.bias", random(size[0]))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_generation_ends_where_the_table_of_positions_does(
    tmp_path: Path, start: Callable[..., Driver]
) -> None:
    driver = start(write_gpt2(tmp_path / "gpt2.gguf"), context=256)
    generation = driver.read(ask("abc", max_tokens=200))
    assert generation.end.usage.total_tokens <= TRAINED
    assert generation.reason in {FinishReason.LENGTH, FinishReason.STOP}
    with pytest.raises(PromptTooLongError, match=f"the context {TRAINED}"):
        driver.submit(ask("x" * TRAINED))
