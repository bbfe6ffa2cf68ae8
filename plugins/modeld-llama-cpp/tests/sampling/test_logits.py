# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from pathlib import Path

import llama_cpp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modeld_llama_cpp.native.model import load
from modeld_llama_cpp.options import LlamaOptions
from modeld_llama_cpp.sampling.logits import Logits, Row, highest
from sampler_rig import raw_noise
from tiny_gguf import VOCABULARY

from modeld import ModelSpec


def all_that_reach(row: Row, count: int) -> set[int]:
    """By sorting: the ``count`` highest and all that are equal to the lowest of them."""
    return set(np.flatnonzero(row >= np.sort(row)[-count]).tolist())


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    size=st.integers(3200, 6000),
    count=st.integers(1, 50),
    levels=st.none() | st.integers(1, 30),
)
def test_the_highest_are_all_found(seed: int, size: int, count: int, levels: int | None) -> None:
    row = raw_noise(seed, size, levels=levels)
    found = highest(row, count)
    assert found is not None
    assert all_that_reach(row, count) <= set(found.tolist())
    assert found.tolist() == sorted(set(found.tolist()))
    assert row[found].min() <= np.sort(row)[-count]
    if levels is None:
        assert found.size < 2 * count + 32, "few more than wanted"


def test_the_highest_may_all_lie_next_to_each_other_or_at_the_end() -> None:
    for first in (0, 2000, 5003 - 40):
        row = raw_noise(1)
        row[first : first + 40] += 100.0
        found = highest(row, 40)
        assert found is not None
        assert set(range(first, first + 40)) <= set(found.tolist())


def test_ids_asked_for_come_once_and_in_order() -> None:
    row = raw_noise(2)
    row[4] = 99.0
    found = highest(row, 10, np.array([4999, 4, 17]))
    assert found is not None
    assert {4, 17, 4999} <= set(found.tolist())
    assert found.tolist() == sorted(set(found.tolist()))


def test_looking_for_much_of_the_vocabulary_is_left_to_llama_cpp() -> None:
    row = raw_noise(3)
    assert highest(row, 78) is not None
    assert highest(row, 79) is None
    assert highest(raw_noise(3, size=10), 1) is None


def test_a_row_without_numbers_has_no_highest() -> None:
    assert highest(np.full(5003, np.nan, np.float32), 5) is None


@pytest.mark.parametrize("batches", [[2], [1, 3, 2]])
def test_rows_are_the_outputs_of_the_last_batch_in_order(random: Path, batches: list[int]) -> None:
    spec = ModelSpec(id="random", name="random", path=str(random))
    model = load(spec, LlamaOptions(slots=4, threads=1), lambda _: None)
    logits = Logits(model.context, VOCABULARY)
    try:
        for count in batches:
            outputs = _decode(model.context, count)
            rows = logits.rows(count)
            assert len(rows) >= count
            assert not rows.flags.writeable
            for row, index in zip(rows, outputs, strict=False):
                data = llama_cpp.llama_get_logits_ith(model.context, index)
                assert row.tolist() == data[:VOCABULARY]
            assert logits.rows(1) is rows, "no new view without need"
    finally:
        model.close()


def _decode(context: int, count: int) -> list[int]:
    """Two tokens for each of ``count`` sequences; the indices of those with logits."""
    batch = llama_cpp.llama_batch_init(2 * count, 0, 1)
    batch.n_tokens = 2 * count
    for index in range(2 * count):
        batch.token[index] = 70 + index
        batch.pos[index] = index % 2
        batch.n_seq_id[index] = 1
        batch.seq_id[index][0] = index // 2
        batch.logits[index] = index % 2
    llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), False)
    assert llama_cpp.llama_decode(context, batch) == 0
    llama_cpp.llama_batch_free(batch)
    return list(range(1, 2 * count, 2))
