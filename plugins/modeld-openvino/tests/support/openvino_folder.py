# SPDX-License-Identifier: GPL-3.0-only
"""Makes a folder with an OpenVINO model of a GGUF file, as OpenVINO writes it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from modeld_openvino.runtime import genai
from random_gguf import CONTEXT, FEED, HEADS, LAYERS, WIDTH

CONFIG = {
    "model_type": "llama",
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": HEADS,
    "hidden_size": WIDTH,
    "intermediate_size": FEED,
    "max_position_embeddings": CONTEXT,
}


def write(gguf: Path, folder: Path) -> Path:
    """Write the model of a GGUF file into a folder and return that."""
    folder.mkdir(parents=True)
    copy = Path(shutil.copy(gguf, folder / "copy.gguf"))
    genai.ContinuousBatchingPipeline(
        str(copy),
        genai.SchedulerConfig(),
        "CPU",
        {"enable_save_ov_model": True},
        {"enable_save_ov_model": True},
    )
    copy.unlink()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    return folder
