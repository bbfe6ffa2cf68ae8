# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import pytest
from modeld_llama_cpp import plugin
from modeld_llama_cpp.options import LlamaOptions


def test_the_plugin_is_found_by_its_entry_point() -> None:
    (found,) = entry_points(group="modeld", name="llama-cpp")
    assert found.load() is plugin
    (backend,) = plugin.modeld_register_backends()
    assert backend.name == "llama-cpp"
    assert backend.options_type is LlamaOptions


@pytest.mark.parametrize(
    ("module", "without"),
    [
        ("plugin", {"llama_cpp", "numpy", "jinja2", "starlette"}),
        ("scheduler", {"llama_cpp", "numpy", "modeld", "msgspec"}),
        ("text", {"llama_cpp", "numpy", "modeld", "msgspec"}),
        ("memory", {"llama_cpp", "numpy"}),
    ],
)
def test_what_decides_loads_no_runtime(module: str, without: set[str]) -> None:
    code = f"import sys, modeld_llama_cpp.{module}; print(*{without} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert loaded.stdout.split() == []
