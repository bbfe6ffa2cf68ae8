# SPDX-License-Identifier: GPL-3.0-only
"""Writes GGUF files of a few hundred bytes: sound headers, one small tensor, no meaning."""

from pathlib import Path

import gguf
import numpy as np


def write_gguf(path: Path, architecture: str, *, name: str = "tiny") -> Path:
    """Write a file that a header reader accepts and only the rig can load."""
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name(name)
    writer.add_context_length(128)
    writer.add_tokenizer_model("gpt2")
    writer.add_tensor("token_embd.weight", np.zeros((32,), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
