# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

import llama_cpp
import pytest
from driver import Driver, ask, positions
from modeld_llama_cpp.engine import runner as runners
from modeld_llama_cpp.engine.runner import Batch, Outcome
from modeld_llama_cpp.engine.sequence import Part, Sequence


def part(request_id: int, seq_id: int, tokens: list[int], start: int, stop: int) -> Part:
    return Part(Sequence(request_id, tokens, 100, seq_id=seq_id), start, stop)


def laid_out(batch: Batch) -> list[tuple[int, int, int, int, int]]:
    native = batch.native
    return [
        (native.token[i], native.pos[i], native.n_seq_id[i], native.seq_id[i][0], native.logits[i])
        for i in range(native.n_tokens)
    ]


def test_a_batch_lays_parts_out_and_asks_for_logits_at_their_ends_only() -> None:
    batch = Batch(8)
    parts = [part(1, 3, [5, 6, 7], 2, 3), part(2, 0, [8, 9, 10], 0, 2), part(3, 1, [4, 2], 0, 2)]
    outputs = batch.fill(parts)
    assert outputs == [(parts[0], 0), (parts[2], 1)]
    assert batch.rows == 2
    assert laid_out(batch) == [
        (7, 2, 1, 3, 1),
        (8, 0, 1, 0, 0),
        (9, 1, 1, 0, 0),
        (4, 0, 1, 1, 0),
        (2, 1, 1, 1, 1),
    ]


def test_a_batch_keeps_nothing_of_the_one_before() -> None:
    batch = Batch(4)
    batch.fill([part(1, 3, [5, 6, 7], 0, 3)])
    assert batch.fill([part(2, 1, [8, 9], 0, 1)]) == []
    assert laid_out(batch) == [(8, 0, 1, 1, 0)]


def test_an_abort_leaves_the_memory_as_it_was(
    random: Path, start: Callable[..., Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = start(random, ubatch=8, batch=32, slots=2)
    driver.submit(ask("x" * 7))
    driver.step()
    before = positions(driver)
    driver.submit(ask("y" * 100))
    aborted = abort_after(3, driver, monkeypatch)
    plan = driver.engine._scheduler.plan()
    assert driver.engine._runner.compute(plan.parts) is Outcome.ABORTED
    assert aborted == [2]
    assert positions(driver) == before


def abort_after(ubatches: int, driver: Driver, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Interrupt request 1 once so many ubatches are done; the list collects return codes."""
    runner, codes = driver.engine._runner, []
    decode = llama_cpp.llama_decode
    whole = runner._batch.native

    def in_pieces(context: int, batch: llama_cpp.llama_batch) -> int:
        if 1 not in runner._interruptible:
            return decode(context, batch)
        done = min(8 * ubatches, batch.n_tokens)
        first = llama_cpp.llama_batch.from_buffer_copy(batch)
        first.n_tokens = done
        assert decode(context, first) == 0
        runner.interrupt(1)
        rest = llama_cpp.llama_batch.from_buffer_copy(batch)
        rest.n_tokens = batch.n_tokens - done
        for name in ("token", "pos", "n_seq_id", "seq_id", "logits"):
            pointer = getattr(batch, name)
            size = ctypes.sizeof(pointer._type_)
            address = ctypes.addressof(pointer.contents) + done * size
            setattr(rest, name, ctypes.cast(address, type(pointer)))
        codes.append(decode(context, rest))
        return codes[-1]

    monkeypatch.setattr(runners.llama_cpp, "llama_decode", in_pieces)
    assert whole is runner._batch.native
    return codes


def test_two_batches_in_a_row_are_not_aborted(
    random: Path, start: Callable[..., Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = start(random, ubatch=100)
    decode = llama_cpp.llama_decode
    codes = []

    def interrupted(context: int, batch: llama_cpp.llama_batch) -> int:
        driver.engine.interrupt(0)
        codes.append(decode(context, batch))
        return codes[-1]

    monkeypatch.setattr(runners.llama_cpp, "llama_decode", interrupted)
    driver.submit(ask("x" * 300))
    for _ in range(6):
        driver.step()
    assert codes == [2, 0, 2, 0, 2, 0]


def test_only_a_prompt_that_is_being_read_is_interrupted(
    random: Path, start: Callable[..., Driver], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = start(random)
    reader = driver.submit(ask("x" * 300))
    driver.step()
    writer = driver.submit(ask("", max_tokens=50))
    decode = llama_cpp.llama_decode
    codes = []

    def interrupted(context: int, batch: llama_cpp.llama_batch) -> int:
        driver.engine.interrupt(writer)
        driver.engine.interrupt(99)
        codes.append(decode(context, batch))
        return codes[-1]

    monkeypatch.setattr(runners.llama_cpp, "llama_decode", interrupted)
    for _ in range(3):
        driver.step()
    assert codes == [0, 0, 0]
    assert driver.generations[reader].end is None
