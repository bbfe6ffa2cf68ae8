# SPDX-License-Identifier: GPL-3.0-only
"""Writes a trace of the requests, for ``modeld simulate``, where ``trace_file`` names a file."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from queue import Full, Queue
from typing import BinaryIO, Final

import msgspec

from modeld import Observer, Settings, hookimpl
from modeld.errors import StartError
from modeld.events import Event, ModelLoaded, RequestFinished, RequestRefused
from modeld.trace import ModelRow, RequestRow, TraceRow

MOST_WAITING: Final = 10_000
"""So many rows may wait for a slow disk; more are left out."""

log = logging.getLogger("modeld.trace")


class TraceFile:
    """A file that rows are appended to, on a thread of its own, until it has ``limit_bytes``.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, path: str, limit_bytes: int) -> None:
        self._path = path
        self._limit_bytes = limit_bytes
        self._file: BinaryIO = open(  # noqa: SIM115  (closed by the thread, which writes last)
            Path(path).expanduser(), "ab", opener=_private
        )
        self._written_bytes = self._file.tell()
        if self._written_bytes and _is_cut(Path(path).expanduser()):
            self._file.write(b"\n")  # an earlier server was killed in the middle of a row
        self._rows: Queue[TraceRow | None] = Queue(MOST_WAITING)
        self._left_out = 0
        # A disk that does not answer must not hold up the exit.
        self._thread = threading.Thread(target=self._write, name="modeld-trace", daemon=True)
        self._thread.start()

    def append(self, row: TraceRow) -> None:
        """Have a row written soon; it is left out where too many wait."""
        try:
            self._rows.put_nowait(row)
        except Full:
            self._left_out += 1

    def close(self) -> None:
        """Return when all rows are written."""
        self._rows.put(None)
        self._thread.join()
        if self._left_out:
            log.warning("%s: %d rows are left out: the disk was slow", self._path, self._left_out)

    def _write(self) -> None:
        encoder = msgspec.json.Encoder()
        with self._file:
            while (row := self._rows.get()) is not None:
                self._put(encoder.encode(row) + b"\n")
                if self._rows.empty():
                    self._flush()

    def _put(self, text: bytes) -> None:
        if self._written_bytes + len(text) <= self._limit_bytes:
            self._written_bytes += len(text)
            self._attempt(lambda: self._file.write(text))
        elif self._limit_bytes:
            limit_mb = self._limit_bytes >> 20
            log.warning("%s has %d MiB; nothing more is written", self._path, limit_mb)
            self._limit_bytes = 0

    def _flush(self) -> None:
        self._attempt(self._file.flush)

    def _attempt(self, act: Callable[[], object]) -> None:
        """Write, and give up for good where that fails: a trace with holes says nothing."""
        try:
            act()
        except OSError as exc:
            log.warning("%s cannot be written: %s; nothing more is", self._path, exc.strerror)
            self._limit_bytes = 0


def _is_cut(path: Path) -> bool:
    """Return whether the last row of a trace has no end."""
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"


class Trace(Observer):
    """Makes a row of each request that ends and of each load that ends well."""

    name = "trace"

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.append: Callable[[TraceRow], object] | None = None
        self._clock = clock

    def notify(self, event: Event) -> None:
        """Append the event's row, while there is a file."""
        if self.append is not None and (row := self._row(event)) is not None:
            self.append(row)

    def _row(self, event: Event) -> TraceRow | None:
        match event:
            case RequestFinished():
                return RequestRow(
                    model=event.model,
                    arrived_unix=self._clock() - event.seconds,
                    queue_wait_s=event.queue_wait_s,
                    load_s=event.load_s,
                    service_s=max(0.0, event.seconds - event.queue_wait_s),
                    prompt_tokens=event.prompt_tokens,
                    completion_tokens=event.completion_tokens,
                    outcome=event.outcome,
                )
            case RequestRefused():
                return RequestRow(
                    model=event.model,
                    arrived_unix=self._clock() - event.seconds,
                    queue_wait_s=event.seconds,
                    load_s=0.0,
                    service_s=None,
                    prompt_tokens=0,
                    completion_tokens=0,
                    outcome=event.reason,
                )
            case ModelLoaded():
                return ModelRow(
                    model=event.model,
                    loaded_unix=self._clock(),
                    held_bytes=event.held_bytes,
                    load_seconds=event.seconds,
                    slots=event.slots,
                )
            case _:
                return None


class TracePlugin:
    """Keeps the trace of one application; made anew for each."""

    def __init__(self) -> None:
        self.trace = Trace()

    @hookimpl
    def modeld_register_observers(self) -> Iterable[Observer]:
        """Bring the observer ``trace``, which does nothing without a file."""
        return [self.trace]

    @hookimpl
    def modeld_lifespan(self, settings: Settings) -> AbstractAsyncContextManager[None]:
        """Have the file open while the service runs."""
        return self._tracing(settings)

    @asynccontextmanager
    async def _tracing(self, settings: Settings) -> AsyncIterator[None]:
        if not settings.trace_file:
            yield
            return
        file = await asyncio.to_thread(_opened, settings)
        self.trace.append = file.append
        try:
            yield
        finally:
            self.trace.append = None
            await asyncio.to_thread(file.close)


def _opened(settings: Settings) -> TraceFile:
    """Return the file of the settings.

    Raises:
        StartError: it cannot be written.
    """
    try:
        return TraceFile(settings.trace_file, settings.trace_max_mb << 20)
    except OSError as exc:
        raise StartError(f"trace_file {settings.trace_file!r}: {exc.strerror}") from exc


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
