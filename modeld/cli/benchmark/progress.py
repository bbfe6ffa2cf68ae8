# SPDX-License-Identifier: GPL-3.0-only
"""What a person sees while it is measured, on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from modeld.cli.benchmark.level import Show

_STEPS = 100


class Progress:
    """A bar for each part of the work on a terminal, one line for each elsewhere."""

    @contextmanager
    def part(self, label: str) -> Iterator[Show]:
        """One part of the work begins."""
        if not sys.stderr.isatty():
            click.echo(label, err=True)
            yield _ignore
            return
        bar = click.progressbar(
            length=_STEPS, label=f"{label:>12}", show_eta=False, file=sys.stderr
        )
        with bar:

            def show(fraction: float) -> None:
                bar.update(max(0, int(fraction * _STEPS) - bar.pos))

            yield show


class Quiet:
    """Shows nothing."""

    @contextmanager
    def part(self, label: str) -> Iterator[Show]:  # noqa: ARG002  (nobody sees it)
        """One part of the work begins."""
        yield _ignore


def _ignore(fraction: float) -> None:
    """Take no notice."""
