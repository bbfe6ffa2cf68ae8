# SPDX-License-Identifier: GPL-3.0-only
"""The connection to a worker, whether that is a process or a thread."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable

from modeld.errors import WorkerCrashedError
from modeld.hosting.channel.frames import Command, Prepared, Report


class Link(ABC):
    """The way to one worker. ``on_report`` is set by whoever holds the link.

    ``exited`` is done as soon as the worker is gone, however that came about. ``on_prepared`` is
    set by whoever has started it, for the one report that is not for its load.
    """

    pid: int | None = None

    is_behind = False
    """Whether so much has come at once that others need a turn before all of it is dealt with."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        self.exited: asyncio.Future[WorkerCrashedError] = loop.create_future()
        self.on_report: Callable[[Report], None] = lambda _report: None
        self.on_prepared: Callable[[Prepared], None] = lambda _prepared: None

    @abstractmethod
    def send(self, command: Command) -> None:
        """Pass a command on; after the worker's end it goes nowhere, without an error."""

    @abstractmethod
    def kill(self, why: str, cause: str) -> None:
        """End the worker at once; ``why`` and ``cause`` go into the error that its requests get."""

    @abstractmethod
    async def aclose(self) -> None:
        """End the worker and wait until it is gone. May be called twice."""

    @abstractmethod
    async def discard(self) -> None:
        """End the worker at once, whatever it does, and wait until it is gone."""

    def label(self, model: str) -> None:  # noqa: B027  (what has no log lines needs no label)
        """Name the model in the worker's log lines."""

    def log_tail(self) -> tuple[str, ...]:
        """Return the worker's last log lines."""
        return ()
