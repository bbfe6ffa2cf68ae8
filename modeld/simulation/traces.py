# SPDX-License-Identifier: GPL-3.0-only
"""Reads a trace that a server has recorded (``trace_file``)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Final

import msgspec

from modeld.errors import ConfigurationError
from modeld.simulation.workload import Arrival, ModelFacts, Workload
from modeld.trace import ModelRow, RequestRow, TraceRow

UNKNOWN_SERVICE_S: Final = 1.0
"""How long a request is served where none of the trace was."""


def read_trace(path: str) -> Workload:
    """Return the requests of a trace, and its models as they were loaded.

    A model's load takes what its loads took on average, and it holds what it held last. A request
    that was turned away is served for as long as others of its model were on average.

    Raises:
        ConfigurationError: the file cannot be read, or a row is none of a trace.
    """
    try:
        with Path(path).expanduser().open("rb") as file:
            rows = list(_rows(path, file))
    except OSError as exc:
        raise ConfigurationError(f"the trace {path!r} cannot be read: {exc.strerror}") from exc
    requests = [row for row in rows if isinstance(row, RequestRow)]
    models = _facts(row for row in rows if isinstance(row, ModelRow))
    known = sorted(
        (row for row in requests if row.model in models), key=lambda row: row.arrived_unix
    )
    if not known:
        raise ConfigurationError(f"the trace {path!r} has no request for a model that it loaded")
    means_s = _mean_service_s(known)
    began_unix = known[0].arrived_unix
    return Workload(
        models=models,
        arrivals=[
            Arrival(
                row.arrived_unix - began_unix,
                row.model,
                means_s.get(row.model, UNKNOWN_SERVICE_S)
                if row.service_s is None
                else row.service_s,
            )
            for row in known
        ],
        left_out=len(requests) - len(known),
    )


def _rows(path: str, lines: Iterable[bytes]) -> Iterator[TraceRow]:
    """Yield the rows, but for those that were cut: a server may be killed while it writes."""
    decoder = msgspec.json.Decoder(TraceRow)
    cut: tuple[int, msgspec.DecodeError] | None = None
    number = 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield decoder.decode(line)
        except msgspec.ValidationError as exc:
            raise ConfigurationError(f"the trace {path!r}, row {number}: {exc}") from exc
        except msgspec.DecodeError as exc:
            if cut is not None and cut[0] == number - 1:  # two in a row were never rows
                raise ConfigurationError(f"the trace {path!r}, row {number}: {exc}") from exc
            cut = number, exc
    if cut is not None and number == 1:
        raise ConfigurationError(f"the trace {path!r}, row 1: {cut[1]}") from cut[1]


def _facts(rows: Iterable[ModelRow]) -> dict[str, ModelFacts]:
    loads: dict[str, list[ModelRow]] = {}
    for row in rows:
        loads.setdefault(row.model, []).append(row)
    return {
        model: ModelFacts(
            held_bytes=found[-1].held_bytes,
            load_seconds=fmean(row.load_seconds for row in found),
            slots=found[-1].slots,
        )
        for model, found in loads.items()
    }


def _mean_service_s(rows: Iterable[RequestRow]) -> Mapping[str, float]:
    served: dict[str, list[float]] = {}
    for row in rows:
        if row.service_s is not None:
            served.setdefault(row.model, []).append(row.service_s)
    return {model: fmean(found) for model, found in served.items()}
