# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from pathlib import Path

import llama_cpp
import numpy as np
import pytest
from computing import logits
from modeld_llama_cpp.native import model as models
from modeld_llama_cpp.options import LlamaOptions, LoraAdapter
from numpy.typing import NDArray
from tiny_lora import write_lora

from modeld import ModelSpec
from modeld.errors import InvalidModelError, LoadFailedError


def load(path: Path, *lora: LoraAdapter) -> models.Model:
    spec = ModelSpec(id="the-id.gguf", name="m", path=str(path))
    return models.load(spec, LlamaOptions(threads=1, lora=lora), lambda _: None)


def chosen(path: Path, *lora: LoraAdapter) -> NDArray[np.float32]:
    model = load(path, *lora)
    try:
        return logits(model)
    finally:
        model.close()


def failure(path: Path, *lora: Path) -> str:
    with pytest.raises(InvalidModelError) as caught:
        load(path, *[LoraAdapter(path=str(each)) for each in lora])
    assert str(path.parent) not in caught.value.message
    return caught.value.message


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lora(tmp_path_factory.mktemp("lora") / "one.gguf")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_lora(tmp_path_factory.mktemp("lora") / "two.gguf", seed=8)


def test_an_adapter_changes_what_the_model_thinks(random: Path, adapter: Path) -> None:
    plain = chosen(random)
    assert np.array_equal(plain, chosen(random))
    assert np.abs(chosen(random, LoraAdapter(path=str(adapter))) - plain).max() > 0.1


def test_the_scale_says_how_strongly(random: Path, adapter: Path) -> None:
    plain = chosen(random)
    strongly, weakly, not_at_all = (
        np.abs(chosen(random, LoraAdapter(path=str(adapter), scale=scale)) - plain).max()
        for scale in (1.0, 0.01, 0.0)
    )
    assert strongly > 10 * weakly > not_at_all == 0.0


def test_several_adapters_count_together(random: Path, adapter: Path, other: Path) -> None:
    one, two = LoraAdapter(path=str(adapter)), LoraAdapter(path=str(other))
    both = chosen(random, one, two)
    assert not np.allclose(both, chosen(random, one), atol=0.01)
    assert not np.allclose(both, chosen(random, two), atol=0.01)


def test_an_adapter_is_held_too(random: Path, tmp_path: Path) -> None:
    path = write_lora(tmp_path / "large.gguf", rank=1024)
    plain, adapted = load(random), load(random, LoraAdapter(path=str(path)))
    size = 2 * 64 * 1024 * 4
    assert adapted.held_bytes - plain.held_bytes == pytest.approx(size, rel=0.1)
    plain.close()
    adapted.close()


def test_an_adapter_for_another_shape_is_named(random: Path, tmp_path: Path) -> None:
    said = failure(random, write_lora(tmp_path / "wide.gguf", width=96))
    assert said.startswith("the-id.gguf: the LoRA adapter 'wide.gguf' cannot be used: ")
    assert "'blk.0.attn_q.weight' has incorrect shape" in said


def test_an_adapter_for_another_family_is_named(random: Path, tmp_path: Path) -> None:
    said = failure(random, write_lora(tmp_path / "other.gguf", family="qwen2"))
    assert "'other.gguf' cannot be used: model arch and LoRA arch mismatch" in said


def test_an_adapter_for_a_tensor_that_is_not_there_is_named(random: Path, tmp_path: Path) -> None:
    path = write_lora(tmp_path / "more.gguf", target="blk.9.attn_q.weight")
    assert "'blk.9.attn_q.weight' does not exist in base model" in failure(random, path)


def test_a_file_that_is_no_adapter_is_named(random: Path, tmp_path: Path) -> None:
    path = tmp_path / "no.gguf"
    path.write_bytes(b"no adapter")
    said = failure(random, path)
    assert said.startswith("the-id.gguf: the LoRA adapter 'no.gguf' cannot be used: ")
    assert str(tmp_path) not in said


def test_the_second_of_two_adapters_can_be_the_wrong_one(random: Path, adapter: Path) -> None:
    assert f"adapter {random.name!r} cannot be used" in failure(random, adapter, random)


def test_an_adapter_that_waits_for_certain_tokens_is_refused(random: Path, tmp_path: Path) -> None:
    path = write_lora(tmp_path / "activated.gguf", activated_by=[5, 6])
    assert "'activated.gguf' is an activated LoRA adapter" in failure(random, path)


def test_adapters_that_llama_cpp_does_not_apply_fail_the_load(
    random: Path, adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llama_cpp, "llama_set_adapters_lora", lambda *_: -1)
    with pytest.raises(LoadFailedError, match=r"the-id\.gguf: llama\.cpp did not apply the 1 LoRA"):
        load(random, LoraAdapter(path=str(adapter)))
