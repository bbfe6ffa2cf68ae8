# SPDX-License-Identifier: GPL-3.0-only
"""The progress of a pull."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, Literal, TypeAlias

from msgspec.structs import replace

from modeld.values import Value

Status: TypeAlias = Literal["resolving", "verifying", "downloading", "waiting"]

SHOW_EVERY_S: Final = 0.2
"""How long nobody is told that only a few bytes more have come, less than a hundredth of all."""


class Progress(Value, frozen=True, kw_only=True):
    """How far a pull is: what it does, with which file, and how much of all files is there.

    ``total_bytes`` is ``None`` while the source has not said it. ``detail`` says why it waits.
    """

    status: Status
    file: str = ""
    completed_bytes: int = 0
    total_bytes: int | None = None
    detail: str = ""


Show: TypeAlias = Callable[[Progress], None]


class Meter:
    """Adds up what has come of all files of a pull, and tells ``show`` now and then."""

    def __init__(self, show: Show, clock: Callable[[], float] = time.monotonic) -> None:
        self._show = show
        self._clock = clock
        self._shown_s = float("-inf")
        self._shown_bytes = 0
        self._done_bytes = 0
        self._now = Progress(status="resolving")

    def begin(self, total_bytes: int | None) -> None:
        """Note how much all files have together."""
        self._set(total_bytes=total_bytes)

    def enter(self, status: Status, file: str, *, detail: str = "") -> None:
        """Note what is done now, and say so at once."""
        self._set(status=status, file=file, detail=detail)
        self._tell()

    def at(self, size_bytes: int) -> None:
        """Note how much there is of the file."""
        self._set(completed_bytes=self._done_bytes + size_bytes)
        total_bytes = self._now.total_bytes or float("inf")
        is_much = abs(self._now.completed_bytes - self._shown_bytes) >= total_bytes / 100
        if is_much or self._clock() - self._shown_s >= SHOW_EVERY_S:
            self._tell()

    def finish(self, size_bytes: int) -> None:
        """Note that a file is there, whole."""
        self._done_bytes += size_bytes
        self._set(completed_bytes=self._done_bytes)
        self._tell()

    def _set(self, **members: object) -> None:
        self._now = replace(self._now, **members)

    def _tell(self) -> None:
        self._shown_s, self._shown_bytes = self._clock(), self._now.completed_bytes
        self._show(self._now)
