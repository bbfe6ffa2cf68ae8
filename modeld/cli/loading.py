# SPDX-License-Identifier: GPL-3.0-only
"""What a person sees while a model is brought into memory."""

from __future__ import annotations

import queue
import sys
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import click

from modeld import hookimpl
from modeld.cli.visible import visible
from modeld.events import Event, ModelLoadProgress
from modeld.interfaces import Observer

_STEPS = 100


class _Bar(Protocol):
    def update(self, n_steps: int) -> None: ...


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
        drawn = 0
        with _bar(f"loading {visible(model)}") as bar:
            while (fraction := self._fractions.get()) is not None:
                step = int(min(1.0, fraction) * _STEPS)
                bar.update(max(0, step - drawn))
                drawn = max(drawn, step)
            if load.exception() is None:
                bar.update(_STEPS - drawn)
        load.result()


class _Line:
    """Stands in for a bar where nothing can be drawn over."""

    def update(self, n_steps: int) -> None:
        """Draw nothing."""


def _bar(label: str) -> AbstractContextManager[_Bar]:
    if not sys.stderr.isatty():
        click.echo(label, err=True)
        return nullcontext(_Line())
    return click.progressbar(
        length=_STEPS, label=label, show_eta=False, show_pos=False, file=sys.stderr
    )
