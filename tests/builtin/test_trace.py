# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
import logging
import threading
from pathlib import Path

import msgspec
import pytest

from modeld import Settings
from modeld.builtin.trace import MOST_WAITING, Trace, TraceFile, TracePlugin
from modeld.errors import StartError
from modeld.events import ModelLoaded, RequestFinished, RequestRefused, RequestStarted
from modeld.trace import ModelRow, RequestRow, TraceRow
from tests.support.serving.counter import a_counter, a_shelf

FINISHED = RequestFinished(
    request_id="secret id",
    model="a",
    outcome="stop",
    seconds=5.0,
    first_token_s=2.5,
    prompt_tokens=7,
    completion_tokens=9,
    queue_wait_s=2.0,
    load_s=1.5,
)
LOADED = ModelLoaded(model="a", seconds=1.5, held_bytes=100, estimated_bytes=90, slots=4)
REFUSED = RequestRefused(request_id="r", model="a", reason="wait_timeout", seconds=3.0)


def read(path: Path) -> list[TraceRow]:
    return [msgspec.json.decode(line, type=TraceRow) for line in path.read_bytes().splitlines()]


def test_a_row_has_what_a_request_cost_and_a_load_what_a_model_holds() -> None:
    rows: list[TraceRow] = []
    trace = Trace(clock=lambda: 1000.0)
    trace.append = rows.append
    for event in (LOADED, RequestStarted(request_id="r", model="a", queue_wait_s=2.0), FINISHED):
        trace.notify(event)
    trace.notify(REFUSED)
    assert rows == [
        ModelRow(model="a", loaded_unix=1000.0, held_bytes=100, load_seconds=1.5, slots=4),
        RequestRow(
            model="a",
            arrived_unix=995.0,
            queue_wait_s=2.0,
            load_s=1.5,
            service_s=3.0,
            prompt_tokens=7,
            completion_tokens=9,
            outcome="stop",
        ),
        RequestRow(
            model="a",
            arrived_unix=997.0,
            queue_wait_s=3.0,
            load_s=0.0,
            service_s=None,
            prompt_tokens=0,
            completion_tokens=0,
            outcome="wait_timeout",
        ),
    ]


def traced(settings: Settings, *events: RequestFinished | ModelLoaded) -> None:
    """Run an application's trace and tell it of events."""

    async def main() -> None:
        plugin = TracePlugin()
        async with plugin.modeld_lifespan(settings):
            for event in events:
                plugin.trace.notify(event)
        plugin.trace.notify(FINISHED)  # the file is closed, and nobody minds

    asyncio.run(main())


def test_rows_are_appended_to_a_file_that_only_its_owner_can_read(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    settings = Settings(trace_file=str(path))
    traced(settings, LOADED, FINISHED)
    traced(settings, FINISHED)
    assert [row.model for row in read(path)] == ["a"] * 3
    assert path.stat().st_mode & 0o077 == 0
    assert b"secret" not in path.read_bytes()


def test_a_row_that_was_cut_by_the_end_of_a_server_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    settings = Settings(trace_file=str(path))
    traced(settings, FINISHED)
    path.write_bytes(path.read_bytes() + b'{"type":"req')
    traced(settings, LOADED)
    *_, before, cut, after = path.read_bytes().splitlines()
    assert cut == b'{"type":"req'
    assert [type(msgspec.json.decode(row, type=TraceRow)) for row in (before, after)] == [
        RequestRow,
        ModelRow,
    ]


def test_a_file_that_is_full_is_left_alone_and_that_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_bytes(b"x" * ((1 << 20) - 300))
    with caplog.at_level(logging.WARNING, "modeld.trace"):
        traced(Settings(trace_file=str(path), trace_max_mb=1), *[FINISHED] * 9)
    assert (1 << 20) - 300 < path.stat().st_size <= 1 << 20
    (record,) = caplog.records
    assert record.getMessage() == f"{path} has 1 MiB; nothing more is written"


def test_a_file_that_cannot_be_written_is_a_failed_start(tmp_path: Path) -> None:
    with pytest.raises(StartError, match=r"trace_file .*missing.*No such file"):
        traced(Settings(trace_file=str(tmp_path / "missing" / "trace.jsonl")))


def test_without_a_file_nothing_is_written_and_nothing_is_kept() -> None:
    traced(Settings(), FINISHED)


def test_what_a_slow_disk_does_not_take_is_left_out_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Slow(TraceFile):
        """Begins to write once all rows were brought."""

        may_write = threading.Event()

        def _write(self) -> None:
            assert self.may_write.wait(60)
            super()._write()

    path = tmp_path / "trace.jsonl"
    file = Slow(str(path), 1 << 30)
    row = ModelRow(model="a", loaded_unix=1.0, held_bytes=1, load_seconds=1.0, slots=1)
    for _ in range(MOST_WAITING + 3):
        file.append(row)
    file.may_write.set()
    with caplog.at_level(logging.WARNING, "modeld.trace"):
        file.close()
    assert len(read(path)) == MOST_WAITING
    assert "3 rows are left out" in caplog.text


def test_a_served_request_is_in_the_trace_of_its_application(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"

    async def main() -> None:
        plugin = TracePlugin()
        tracing = plugin.modeld_lifespan(Settings(trace_file=str(path)))
        async with tracing, a_counter(a_shelf()) as counter:
            counter.plugins.observers["trace"] = plugin.trace
            await counter.ask("a canary in the prompt")

    asyncio.run(main())
    loaded, request = read(path)
    assert isinstance(loaded, ModelRow)
    assert isinstance(request, RequestRow)
    assert request.outcome == "stop"
    assert request.service_s is not None
    assert b"canary" not in path.read_bytes()
