# SPDX-License-Identifier: GPL-3.0-only
"""``modeld pull``: a model from the hub or a URL, with a bar."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from modeld import Settings, read_settings
from modeld.errors import InvalidRequestError
from modeld.sizes import size_text
from modeld.terminal import progress, silence, visible
from modeld_pull.progress import Progress, Show
from modeld_pull.reference import Reference, reference_of
from modeld_pull.settings import PullSettings

_INTERRUPTED = 130


@click.command("pull")
@click.argument("source", metavar="REPO[:FILE]|URL")
@click.option("--sha256", metavar="HEX", default="", help="what the file must have; a URL needs it")
@click.option(
    "--revision", default="", help="branch, tag or commit of the repository; main unless set"
)
@click.option(
    "--models-dir",
    metavar="DIR",
    type=click.Path(file_okay=False),
    help="folder to put it into; default: that of the settings",
)
@click.option("--quiet", "-q", is_flag=True, help="show no progress")
def command(*, source: str, sha256: str, revision: str, models_dir: str | None, quiet: bool) -> int:
    """Bring a model from Hugging Face or a URL into the models folder.

    REPO is OWNER/NAME. FILE is a path in the repository, or a quantisation such as Q4_K_M. Without
    it, the only model there is taken, or else the only one in Q4_K_M. The files of a split model
    come together. What was interrupted goes on where it was.

    The paths of the files go to standard output. A token for the hub is taken from HF_TOKEN or from
    where Hugging Face's own tools keep it; HF_ENDPOINT names another hub.

    \b
    Examples:
      modeld pull bartowski/SmolLM2-135M-Instruct-GGUF
      modeld pull bartowski/SmolLM2-135M-Instruct-GGUF:Q8_0
      modeld pull https://models.example/tiny.gguf --sha256 9c1f...
    """
    try:
        reference = reference_of(source, revision=revision, sha256=sha256)
    except InvalidRequestError as exc:
        raise click.UsageError(visible(exc.message)) from exc
    settings = read_settings()
    folder = models_dir or settings.model_folders[0]
    shown = _Shown()
    label = f"Pulling {reference}"
    try:
        with _shown_progress(label, shown, quiet=quiet):
            files = asyncio.run(_pull(reference, settings, folder, shown.show))
    except KeyboardInterrupt:
        click.echo(f"modeld: interrupted; {visible(shown.kept())}", err=True)
        return _INTERRUPTED
    for file in files:
        click.echo(visible(str(file)))
    return 0


async def _pull(
    reference: Reference, settings: Settings, folder: str, show: Show
) -> Sequence[Path]:
    # aiohttp takes a part of a second that --help should not.
    from modeld_pull.pull import Surroundings, pull  # noqa: PLC0415

    around = Surroundings(models_dir=folder, settings=settings.of(PullSettings))
    return await pull(reference, around, show)


class _Shown:
    """What a person sees of a pull: a bar, or a line for each tenth of it."""

    def __init__(self) -> None:
        self.last = Progress(status="resolving")
        self.on_fraction: Callable[[float], None] = lambda _fraction: None
        self.on_change: Callable[[str], None] = lambda _text: None

    def show(self, progress: Progress) -> None:
        """Show how far it is, and what it waits for."""
        if progress.detail and progress.detail != self.last.detail:
            self.on_change(f"{progress.detail}; trying again")
        self.last = progress
        if progress.total_bytes:
            self.on_fraction(progress.completed_bytes / progress.total_bytes)

    def kept(self) -> str:
        """Return what is said of a pull that was interrupted."""
        if not self.last.completed_bytes:
            return "nothing was pulled yet"
        total = f" of {size_text(self.last.total_bytes)}" if self.last.total_bytes else ""
        return (
            f"{size_text(self.last.completed_bytes)}{total} are kept; the same command goes on from"
            " there"
        )


@contextmanager
def _shown_progress(label: str, shown: _Shown, *, quiet: bool) -> Iterator[None]:
    with (silence if quiet else progress)(label) as bar:
        if quiet:
            pass
        elif sys.stderr.isatty():
            shown.on_fraction = bar
        else:
            shown.on_change = lambda text: click.echo(visible(text), err=True)
            shown.on_fraction = _Tenths(shown).note
        yield


class _Tenths:
    """Says how far it is, once for each tenth of the whole."""

    def __init__(self, shown: _Shown) -> None:
        self._shown = shown
        self._said = 0

    def note(self, fraction: float) -> None:
        """Write a line if another tenth has come."""
        tenths = int(fraction * 10)
        if tenths > self._said:
            self._said = tenths
            last = self._shown.last
            self._shown.on_change(
                f"{tenths * 10} %, {size_text(last.completed_bytes)} of"
                f" {size_text(last.total_bytes or 0)}"
            )
