# SPDX-License-Identifier: GPL-3.0-only
"""When things happened and how long they took, as Ollama writes both."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

_NS: Final = 10**9


class Stopwatch:
    """Measures one generation from when its request had come, on the monotonic clock.

    The service does not tell when a prompt was read: what passes before the first piece counts as
    reading it, but for the time that the model's load took, and what passes after it as the
    generation.
    """

    def __init__(self, begun_s: float) -> None:
        self._begun_s = begun_s
        self._first_s: float | None = None

    def note_piece(self) -> None:
        """Take note that a piece has come."""
        if self._first_s is None:
            self._first_s = time.monotonic()

    def durations(self, load_s: float) -> dict[str, int]:
        """Return how long all has taken until now, and its parts, in nanoseconds.

        ``load_s`` is how long the generation has waited for its model's load.
        """
        now_s = time.monotonic()
        first_s = now_s if self._first_s is None else self._first_s
        before_s = first_s - self._begun_s
        load_s = min(load_s, before_s)
        return {
            "total_duration": nanoseconds(now_s - self._begun_s),
            "load_duration": nanoseconds(load_s),
            "prompt_eval_duration": nanoseconds(before_s - load_s),
            "eval_duration": nanoseconds(now_s - first_s),
        }


def nanoseconds(seconds: float) -> int:
    """Return a time in whole nanoseconds."""
    return round(seconds * _NS)


def now() -> str:
    """Return the time of day as Ollama writes it."""
    return written(time.time_ns())


def now_as_bytes() -> bytes:
    """Return the time of day as Ollama writes it."""
    seconds, rest = divmod(time.time_ns(), _NS)
    return b"%b.%06dZ" % (_second_as_bytes(seconds), rest // 1000)


def written(unix_ns: int) -> str:
    """Return a time as Ollama writes it: in UTC, with microseconds."""
    seconds, rest = divmod(unix_ns, _NS)
    return f"{_second(seconds)}.{rest // 1000:06d}Z"


@lru_cache(maxsize=16)
def _second_as_bytes(unix: int) -> bytes:
    return _second(unix).encode()


@lru_cache(maxsize=16)
def _second(unix: int) -> str:
    return datetime.fromtimestamp(unix, UTC).strftime("%Y-%m-%dT%H:%M:%S")
