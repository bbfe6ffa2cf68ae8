# SPDX-License-Identifier: GPL-3.0-only
"""What a person sees while a model is brought into memory."""

from __future__ import annotations

import queue
from collections.abc import Iterable
from concurrent.futures import Future

from modeld import hookimpl
from modeld.cli.progress import progress
from modeld.events import Event, ModelLoadProgress
from modeld.interfaces import Observer


class LoadingDisplay(Observer):
    """A plugin of the command line: it observes loads and draws their progress on stderr.

    On a terminal it is a bar; elsewhere one line when a load begins.
    """

    name = "loading-display"

    def __init__(self) -> None:
        self._fractions: queue.SimpleQueue[float | None] = queue.SimpleQueue()

    @hookimpl
    def modeld_register_observers(self) -> Iterable[Observer]:
        """Bring this object as the observer."""
        return [self]

    def notify(self, event: Event) -> None:
        """Take note of progress; the events come on the thread of the service."""
        if isinstance(event, ModelLoadProgress):
            self._fractions.put(event.fraction)

    def wait(self, load: Future[None], model: str) -> None:
        """Draw until the load is over.

        Raises:
            ModeldError: the load failed.
        """
        load.add_done_callback(lambda _: self._fractions.put(None))
        with progress(f"loading {model}") as show:
            while (fraction := self._fractions.get()) is not None:
                show(fraction)
            load.result()
