# SPDX-License-Identifier: GPL-3.0-only
"""What the two real models hold, against what was said beforehand."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from modeld_llama_cpp.native import dry_run
from modeld_llama_cpp.native import model as models
from modeld_llama_cpp.options import LlamaOptions
from modeld_llama_cpp.sizing.context_size import makes_vectors
from modeld_llama_cpp.sizing.estimate import estimate
from modeld_llama_cpp.sizing.model_shape import shape_of

from modeld import MemoryEstimate, ModelSpec
from modeld.builtin.gguf.folder import GgufFolder

pytestmark = pytest.mark.model

MIB = 1 << 20

WORKER = """
import ctypes, json, sys, psutil, msgspec, llama_cpp
from modeld import ModelSpec
from modeld_llama_cpp.native import model
from modeld_llama_cpp.native import native_log
from modeld_llama_cpp.options import LlamaOptions

native_log.install()
llama_cpp.llama_backend_init()
spec = msgspec.json.decode(sys.argv[1], type=ModelSpec)
before = psutil.Process().memory_info().rss
loaded = model.load(spec, LlamaOptions(context=1024, mmap=False, threads=1), lambda _: None)
tokens = (ctypes.c_int32 * 128)(*range(300, 428))
assert not llama_cpp.llama_decode(loaded.context, llama_cpp.llama_batch_get_one(tokens, 128))
print(json.dumps([psutil.Process().memory_info().rss - before, loaded.held_bytes]))
"""


@pytest.fixture(scope="module")
def specs(real_models: Path) -> dict[str, ModelSpec]:
    """The two models as the server knows them, by file name."""
    found = asyncio.run(GgufFolder(str(real_models)).list_models())
    for spec in found:  # what the first load of a process sets up for all, 2 MB, is not compared
        held(spec, LlamaOptions(context=256))
    return {spec.id: spec for spec in found}


@pytest.fixture(params=["smollm2", "gemma3"])
def spec(request: pytest.FixtureRequest, specs: dict[str, ModelSpec]) -> ModelSpec:
    path: Path = request.getfixturevalue(request.param)
    return specs[path.name]


def held(spec: ModelSpec, options: LlamaOptions) -> int:
    vectors = makes_vectors(shape_of(spec), options)
    load = models.load_for_embeddings if vectors else models.load
    model = load(spec, options, lambda _: None)
    model.close()
    return model.held_bytes


@pytest.mark.parametrize(
    "wanted",
    [
        {"context": 512},
        {"context": 4096},
        {"context": 8192},
        {"slots": 1},
        {"slots": 16},
        {"cache_type_k": "q8_0", "cache_type_v": "q8_0"},
        {"flash_attention": "off", "context": 8192},
        {"batch": 512, "ubatch": 512},
        {"embeddings": True},
        {"embeddings": True, "pooling": "rank", "context": 256},
    ],
    ids=str,
)
def test_what_is_held_was_known_beforehand(spec: ModelSpec, wanted: dict[str, object]) -> None:
    options = LlamaOptions(threads=1, **wanted)  # type: ignore[arg-type]
    really = held(spec, options)
    plain = dry_run.measure(spec, msgspec.to_builtins(options))
    measured = msgspec.convert(plain, MemoryEstimate)
    estimated = estimate(shape_of(spec), options)
    assert measured.total_bytes == pytest.approx(really, rel=0.01)
    assert estimated.total_bytes == pytest.approx(really, rel=0.04)
    assert measured.weights_bytes == estimated.weights_bytes
    assert measured.kv_bytes == pytest.approx(estimated.kv_bytes, abs=MIB // 32)


def test_what_is_held_is_what_a_worker_grows_by(spec: ModelSpec) -> None:
    run = [sys.executable, "-c", WORKER, msgspec.json.encode(spec).decode()]
    said = subprocess.run(run, check=True, capture_output=True, text=True).stdout
    grown, said_held = json.loads(said)
    assert grown == pytest.approx(said_held, rel=0.05)


def test_a_mapped_model_holds_as_much_as_one_that_was_read(spec: ModelSpec) -> None:
    mapped, read = (held(spec, LlamaOptions(mmap=mmap)) for mmap in (True, False))
    assert mapped == pytest.approx(read, rel=0.001)


def test_the_parts_of_smollm2_are_those_measured_before(specs: dict[str, ModelSpec]) -> None:
    options = LlamaOptions(context=4096, cache_tokens=0, ubatch=128)
    (smollm2,) = (spec for name, spec in specs.items() if name.startswith("SmolLM2"))
    weights, tokens, computing, output, vocabulary = 92.10, 90.00, 4.38, 0.75, 12.47
    assert held(smollm2, options) / MIB == pytest.approx(
        weights + tokens + computing + output + vocabulary, abs=0.5
    )
