# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
import subprocess
import sys
from importlib.metadata import entry_points

import pytest
from modeld_llama_cpp import plugin
from modeld_llama_cpp.backend import LlamaCpp
from modeld_llama_cpp.options import LlamaOptions

from modeld import Engine, ModelSpec, Options


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
    ],
)
def test_what_decides_loads_no_runtime(module: str, without: set[str]) -> None:
    code = f"import sys, modeld_llama_cpp.{module}; print(*{without} & set(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    assert loaded.stdout.split() == []


@pytest.mark.parametrize(
    ("format_", "family", "can"),
    [("gguf", "llama", True), ("gguf", "bert", False), ("safetensors", "llama", False)],
)
def test_the_backend_takes_gguf_models_that_write_text(
    format_: str, family: str, can: bool
) -> None:
    spec = ModelSpec(id="m", name="m", path="m", format=format_, family=family)
    assert LlamaCpp().can_load(spec) is can


def test_a_load_starts_the_engine_in_a_worker() -> None:
    started: list[tuple[str, ModelSpec, Options]] = []

    class Host:
        async def start(self, engine: str, spec: ModelSpec, options: Options) -> Engine:
            started.append((engine, spec, options))
            return None  # type: ignore[return-value]

        def progress(self, fraction: float) -> None: ...

    spec, options = ModelSpec(id="m", name="m", path="m"), LlamaOptions()
    asyncio.run(LlamaCpp().load(spec, options, Host()))
    assert started == [("modeld_llama_cpp.engine:LlamaEngine", spec, options)]


def test_warm_imports_can_be_imported() -> None:
    for module in LlamaCpp.warm_imports:
        __import__(module)
