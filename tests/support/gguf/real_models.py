# SPDX-License-Identifier: GPL-3.0-only
"""The real models that tests run on, brought by `make models`."""

import os
from pathlib import Path

SMOLLM2 = "SmolLM2-135M-Instruct.Q4_1.gguf"
GEMMA3 = "gemma-3-270m-q4_k_m.gguf"


def models_folder() -> Path:
    """Return the folder with both models.

    Raises:
        AssertionError: it is not there; the message says how to get it.
    """
    folder = Path(os.environ.get("MODELD_TEST_MODELS") or Path(__file__).parents[3] / "models")
    for name in (SMOLLM2, GEMMA3):
        assert (folder / name).is_file(), f"{name} is not in {folder}; run `make models`"
    return folder
