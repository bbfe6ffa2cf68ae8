# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from pathlib import Path

import pytest
from modeld_llama_cpp.backend import LlamaCpp
from modeld_llama_cpp.sizing import gpu_libraries


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("libggml-cuda.so", True),
        ("libggml-hip.so.0", True),
        ("libggml-metal.dylib", True),
        ("ggml-vulkan.dll", True),
        ("libggml-cpu.so", False),
        ("libggml-base.so", False),
        ("libggml.so", False),
        ("libcuda.so", False),
    ],
)
def test_the_files_beside_the_library_tell(tmp_path: Path, name: str, is_one: bool) -> None:
    (tmp_path / name).touch()
    assert gpu_libraries.is_there([tmp_path]) is is_one


def test_the_build_of_this_project_is_for_processors() -> None:
    assert LlamaCpp().uses_gpus() is False
