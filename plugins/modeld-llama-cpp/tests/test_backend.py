# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio

import pytest
from modeld_llama_cpp.backend import LlamaCpp
from modeld_llama_cpp.options import LlamaOptions

from modeld import Engine, MemoryEstimate, ModelSpec, Options
from modeld.values import JsonValue


class Host:
    """Takes down what it is asked for."""

    def __init__(self, reply: JsonValue = None) -> None:
        self.asked: list[tuple[str, ModelSpec, Options]] = []
        self._reply = reply

    async def start(self, engine: str, spec: ModelSpec, options: Options) -> Engine:
        self.asked.append((engine, spec, options))
        return None  # type: ignore[return-value]

    async def call(self, function: str, spec: ModelSpec, options: Options) -> JsonValue:
        self.asked.append((function, spec, options))
        return self._reply

    def progress(self, fraction: float) -> None: ...


def spec(family: str = "llama", format_: str = "gguf") -> ModelSpec:
    return ModelSpec(id="m", name="m", path="m", format=format_, family=family)


@pytest.mark.parametrize(
    ("format_", "family", "can"),
    [
        ("gguf", "llama", True),
        ("gguf", "bert", True),
        ("gguf", "nomic-bert", True),
        ("gguf", "mamba", True),
        ("gguf", "t5encoder", False),
        ("gguf", "clip", False),
        ("gguf", "llada", False),
        ("safetensors", "llama", False),
    ],
)
def test_the_backend_takes_gguf_models_of_texts(format_: str, family: str, can: bool) -> None:
    assert LlamaCpp().can_load(spec(family, format_)) is can


@pytest.mark.parametrize(
    ("family", "options", "engine"),
    [
        ("llama", LlamaOptions(), "modeld_llama_cpp.engine:LlamaEngine"),
        ("bert", LlamaOptions(), "modeld_llama_cpp.embedding_engine:EmbeddingEngine"),
        (
            "llama",
            LlamaOptions(embeddings=True),
            "modeld_llama_cpp.embedding_engine:EmbeddingEngine",
        ),
    ],
)
def test_a_load_starts_the_engine_for_what_the_model_makes(
    family: str, options: LlamaOptions, engine: str
) -> None:
    host = Host()
    asyncio.run(LlamaCpp().load(spec(family), options, host))
    assert host.asked == [(engine, spec(family), options)]


def test_the_engines_and_the_measurement_are_where_the_backend_says() -> None:
    for name in ("engine:LlamaEngine", "embedding_engine:EmbeddingEngine", "dry_run:measure"):
        module, _, attribute = name.partition(":")
        package = __import__(f"modeld_llama_cpp.{module}", fromlist=[attribute])
        assert callable(getattr(package, attribute))


def test_a_model_is_measured_in_a_worker() -> None:
    host = Host({"weights_bytes": 1, "kv_bytes": 2, "compute_bytes": 4})
    measured = asyncio.run(LlamaCpp().measure(spec(), LlamaOptions(), host))
    assert measured == MemoryEstimate(weights_bytes=1, kv_bytes=2, compute_bytes=4)
    assert host.asked == [("modeld_llama_cpp.dry_run:measure", spec(), LlamaOptions())]


def test_a_measurement_that_cannot_be_is_none() -> None:
    assert asyncio.run(LlamaCpp().measure(spec(), LlamaOptions(), Host())) is None


def test_warm_imports_can_be_imported() -> None:
    for module in LlamaCpp.warm_imports:
        __import__(module)


def test_an_estimate_is_made_from_the_header_alone() -> None:
    made = ModelSpec(id="m", name="m", path="there is no such file", weights_bytes=123)
    assert LlamaCpp().estimate(made, LlamaOptions()).weights_bytes == 123
