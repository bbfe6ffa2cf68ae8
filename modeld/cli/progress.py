# SPDX-License-Identifier: GPL-3.0-only
"""What a person sees of long work: a bar on a terminal, one line elsewhere, on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias

import click

from modeld.cli.visible import visible

Show: TypeAlias = Callable[[float], None]
"""Is told now and then which part of the work is done, from 0.0 to 1.0."""

_STEPS: Final = 100


@contextmanager
def progress(label: str) -> Iterator[Show]:
    """Shows work while it is done; the bar is full when the block ends without an error."""
    label = visible(label)
    if not sys.stderr.isatty():
        click.echo(label, err=True)
        yield _ignore
        return
    with click.progressbar(length=_STEPS, label=label, show_eta=False, file=sys.stderr) as bar:

        def show(fraction: float) -> None:
            bar.update(max(0, int(min(1.0, fraction) * _STEPS) - bar.pos))

        yield show
        show(1.0)


@contextmanager
def silence(label: str) -> Iterator[Show]:  # noqa: ARG001  (nobody sees it)
    """Shows nothing."""
    yield _ignore


def _ignore(fraction: float) -> None:
    """Take no notice."""
