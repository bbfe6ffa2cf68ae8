# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from modeld.errors import ConfigurationError
from modeld.simulation.traces import UNKNOWN_SERVICE_S, read_trace
from modeld.simulation.workload import Arrival, ModelFacts
from modeld.trace import ModelRow, RequestRow, TraceRow


def load(model: str, seconds: float, held_bytes: int = 100) -> ModelRow:
    return ModelRow(
        model=model, loaded_unix=1.0, held_bytes=held_bytes, load_seconds=seconds, slots=2
    )


def request(model: str, arrived_unix: float, service_s: float | None = 1.0) -> RequestRow:
    return RequestRow(
        model=model,
        arrived_unix=arrived_unix,
        queue_wait_s=0.0,
        load_s=0.0,
        service_s=service_s,
        prompt_tokens=1,
        completion_tokens=1,
        outcome="stop",
    )


def write(path: Path, *rows: TraceRow) -> str:
    path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    return str(path)


def test_a_trace_is_a_workload_in_the_order_of_arrivals(tmp_path: Path) -> None:
    path = write(
        tmp_path / "trace",
        load("a", 2.0, 90),
        request("a", 105.0, 3.0),
        request("a", 100.0, 1.0),
        load("a", 4.0, 110),
        load("b", 1.0),
        request("a", 107.0, None),
        request("b", 108.0, None),
        request("nobody", 101.0),
    )
    work = read_trace(path)
    assert work.models == {
        "a": ModelFacts(held_bytes=110, load_seconds=3.0, slots=2),
        "b": ModelFacts(held_bytes=100, load_seconds=1.0, slots=2),
    }
    assert work.arrivals == [
        Arrival(0.0, "a", 1.0),
        Arrival(5.0, "a", 3.0),
        Arrival(7.0, "a", 2.0),
        Arrival(8.0, "b", UNKNOWN_SERVICE_S),
    ]
    assert work.left_out == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'{"type":"model"}\n', "row 1: Object missing required field"),
        (b'{"type":"request","mod', "row 1: Input data was truncated"),
        (b'{"type":"other"}\n', "row 1: Invalid value 'other'"),
        (b"", "has no request for a model that it loaded"),
    ],
)
def test_a_row_that_is_none_is_named(tmp_path: Path, text: bytes, said: str) -> None:
    path = tmp_path / "trace"
    path.write_bytes(text)
    with pytest.raises(ConfigurationError) as caught:
        read_trace(str(path))
    assert said in caught.value.message


def test_a_row_that_was_cut_is_left_out(tmp_path: Path) -> None:
    whole = Path(write(tmp_path / "whole", load("a", 1.0), request("a", 1.0), request("a", 2.0)))
    first, second, third = whole.read_bytes().splitlines()
    whole.write_bytes(b"\n".join((first, second[:9], b"", second, third, third[:9])))
    assert len(read_trace(str(whole)).arrivals) == 2


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read: No such file"):
        read_trace(str(tmp_path / "missing"))
