# SPDX-License-Identifier: GPL-3.0-only
"""What a person sees of long work: a bar on a terminal, one line elsewhere, on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import click

from modeld.cli.visible import visible

_STEPS: Final = 100


@contextmanager
def progress(label: str) -> Iterator[Callable[[float], None]]:
    """Yields a function that takes how much is done, from 0.0 to 1.0."""
    label = visible(label)
    if not sys.stderr.isatty():
        click.echo(label, err=True)
        yield lambda _fraction: None
        return
    with click.progressbar(
        length=_STEPS, label=label, show_eta=False, show_pos=False, file=sys.stderr
    ) as bar:
        drawn = 0

        def draw(fraction: float) -> None:
            nonlocal drawn
            step = int(min(1.0, fraction) * _STEPS)
            if step > drawn:
                bar.update(step - drawn)
                drawn = step

        yield draw
        bar.update(_STEPS - drawn)
