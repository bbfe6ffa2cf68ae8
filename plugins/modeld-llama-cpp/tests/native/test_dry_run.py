# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from pathlib import Path

import gguf
import msgspec
import psutil
import pytest
from bert_gguf import random_bert
from modeld_llama_cpp.native import buffers, dry_run
from modeld_llama_cpp.native import model as models
from modeld_llama_cpp.options import LlamaOptions, LoraAdapter
from modeld_llama_cpp.sizing.context_size import makes_vectors
from modeld_llama_cpp.sizing.model_shape import shape_of
from tiny_gguf import write_random
from tiny_lora import write_lora
from tiny_recurrent import write_mamba

from modeld import MemoryEstimate, ModelSpec
from modeld.errors import InvalidModelError, LoadFailedError

MIB = 1 << 20


def spec(path: Path, family: str = "llama") -> ModelSpec:
    return ModelSpec(id="the-id.gguf", name="m", path=str(path), family=family)


def measured(of: ModelSpec, **options: object) -> MemoryEstimate:
    plain = msgspec.to_builtins(LlamaOptions(**options))
    return msgspec.convert(dry_run.measure(of, plain), MemoryEstimate)


def held(of: ModelSpec, **options: object) -> int:
    wanted = LlamaOptions(**({"threads": 1} | options))
    vectors = makes_vectors(shape_of(of), wanted)
    load = models.load_for_embeddings if vectors else models.load
    model = load(of, wanted, lambda _: None)
    model.close()
    return model.held_bytes


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of 13 MB, beside which rounding in the log does not count."""
    folder = tmp_path_factory.mktemp("large")
    return write_random(folder / "large.gguf", width=512, layers=1)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"context": 512},
        {"context": 8192, "slots": 16},
        {"cache_type_k": "q8_0", "cache_type_v": "q4_0"},
        {"flash_attention": "off", "ubatch": 512, "batch": 512},
        {"mmap": False},
        {"draft_tokens": 30},
        {"embeddings": True},
        {"embeddings": True, "pooling": "rank", "context": 512},
    ],
)
def test_what_is_measured_beforehand_is_what_is_held(
    large: Path, options: dict[str, object]
) -> None:
    assert measured(spec(large), **options).total_bytes == pytest.approx(
        held(spec(large), **options), rel=0.01
    )


def test_the_parts_are_weights_cache_and_the_rest(large: Path) -> None:
    parts = measured(spec(large), context=4096)
    assert large.stat().st_size - 10_000 < parts.weights_bytes < large.stat().st_size
    assert parts.kv_bytes == 4096 * 2 * 512 * 2
    assert 0 < parts.compute_bytes < 16 * MIB


def test_nothing_is_allocated_for_a_measurement(large: Path) -> None:
    before = psutil.Process().memory_info().rss
    parts = measured(spec(large), context=1 << 20)
    assert parts.kv_bytes == 2 << 30
    assert psutil.Process().memory_info().rss - before < 64 * MIB


def test_an_adapter_counts_with_the_weights(random: Path, tmp_path: Path) -> None:
    path = write_lora(tmp_path / "l.gguf", rank=64)
    plain = measured(spec(random))
    adapted = measured(spec(random), lora=(LoraAdapter(path=str(path)),))
    assert adapted.weights_bytes - plain.weights_bytes == path.stat().st_size


def test_states_of_a_recurrent_model_are_measured(tmp_path: Path) -> None:
    path = write_mamba(tmp_path / "mamba.gguf")
    parts = measured(spec(path, "mamba"), slots=256)
    assert parts.kv_bytes == pytest.approx(256 * 3 * (3 * 64 + 16 * 64) * 4, rel=0.01)


def test_an_encoder_is_measured_as_one(tmp_path: Path) -> None:
    path = random_bert(1, gguf.PoolingType.MEAN).write(tmp_path / "bert.gguf")
    parts = measured(spec(path, "bert"))
    assert parts.kv_bytes == 0
    assert parts.total_bytes == pytest.approx(held(spec(path, "bert")), abs=60_000)


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    path = tmp_path / "no.gguf"
    path.write_bytes(b"GGUX" * 9)
    with pytest.raises(InvalidModelError, match=r"the-id\.gguf: .*invalid magic"):
        dry_run.measure(spec(path), {})


def test_a_context_that_the_model_does_not_allow_is_named(tmp_path: Path) -> None:
    path = write_random(tmp_path / "odd.gguf", width=80)
    with pytest.raises(LoadFailedError, match=r"the-id\.gguf: no context .* does not divide"):
        dry_run.measure(spec(path), {"cache_type_k": "q8_0"})


def test_a_runtime_that_says_no_sizes_measures_nothing(
    random: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buffers, "buffers", lambda lines: iter(()))
    assert dry_run.measure(spec(random), {}) is None
