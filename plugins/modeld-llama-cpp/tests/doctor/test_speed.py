# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from pathlib import Path

import gguf
import msgspec
import pytest
from bert_gguf import random_bert
from modeld_llama_cpp.doctor import speed
from modeld_llama_cpp.doctor.facts import Measured
from modeld_llama_cpp.options import LlamaOptions
from tiny_recurrent import write_mamba

from modeld import ModelSpec
from modeld.errors import InvalidModelError


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "MOST_ROUNDS", 2)
    monkeypatch.setattr(speed, "_LONGEST_SAMPLE_S", 0.01)
    monkeypatch.setattr(speed, "thread_counts", lambda also: (1, 2))


def measured(path: Path, family: str = "llama", **options: object) -> Measured:
    spec = ModelSpec(id=path.name, name="m", path=str(path), family=family, context_length=64)
    plain = msgspec.to_builtins(LlamaOptions(**options))
    return msgspec.convert(speed.measure(spec, plain), Measured)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(
    "options",
    [{}, {"threads": 1}, {"context": 64}, {"slots": 8, "draft_tokens": 4}, {"batch": 2048}],
)
def test_a_model_of_texts_is_read_and_written_with_each_number(
    random: Path, options: dict[str, object]
) -> None:
    found = measured(random, **options)
    assert [each.threads for each in found.samples] == [1, 2]
    for each in found.samples:
        assert len(each.read) == len(each.written) >= 1
        assert min(each.read + each.written) > 0
    assert found.threads == options.get("threads", found.threads)


@pytest.mark.usefixtures("quick")
def test_a_recurrent_model_is_measured_too(tmp_path: Path) -> None:
    found = measured(write_mamba(tmp_path / "mamba.gguf"), "mamba")
    assert all(each.written for each in found.samples)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("family", ["llama", "bert"])
def test_a_model_of_vectors_is_only_read(tmp_path: Path, random: Path, family: str) -> None:
    if family == "bert":
        random = random_bert(1, gguf.PoolingType.MEAN).write(tmp_path / "bert.gguf")
        found = measured(random, family)
    else:
        found = measured(random, family, embeddings=True)
    assert all(each.read and not each.written for each in found.samples)


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    path = tmp_path / "no.gguf"
    path.write_bytes(b"GGUX" * 9)
    with pytest.raises(InvalidModelError, match=r"no\.gguf"):
        measured(path)


def test_rounds_go_first_to_last_and_last_to_first_by_turns() -> None:
    order: list[int] = []

    def sample(number: int) -> tuple[float, float | None]:
        order.append(number)
        return float(number), None

    taken = speed.rounds((1, 2, 4), sample, deadline_s=1.0, clock=Clock())
    assert order[:6] == [1, 2, 4, 4, 2, 1]
    assert len(order) == 3 * speed.MOST_ROUNDS
    assert [(each.threads, set(each.read), each.written) for each in taken] == [
        (1, {1.0}, ()),
        (2, {2.0}, ()),
        (4, {4.0}, ()),
    ]


def test_no_round_begins_that_would_end_too_late() -> None:
    clock = Clock()

    def sample(number: int) -> tuple[float, float | None]:
        clock.now_s += 2.0
        return 1.0, 1.0

    taken = speed.rounds((1, 2), sample, deadline_s=10.0, clock=clock)
    assert [len(each.read) for each in taken] == [2, 2]
    assert clock.now_s == 8.0
