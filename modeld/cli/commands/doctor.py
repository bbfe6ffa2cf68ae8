# SPDX-License-Identifier: GPL-3.0-only
"""``modeld doctor``: finds problems of this machine and its settings, and names the fix."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from msgspec.structs import replace

from modeld.cli import logs
from modeld.cli.params import SettingsCommand, resolved, settings_options
from modeld.machine.files import Machine
from modeld.settings import Resolved, Settings
from modeld.terminal import count_text, progress, visible
from modeld.values import Finding

if TYPE_CHECKING:
    from modeld.doctor.report import Group

WIDEST: Final = 100

_COLOURS: Final = {"ok": "green", "warning": "yellow", "error": "red"}
_INDENT: Final = " " * 11


@click.command("doctor", cls=SettingsCommand)
@click.option("--json", "as_json", is_flag=True, help="print a JSON document instead of text")
@click.option("--no-measure", is_flag=True, help="do not load a model to measure threads with it")
@click.option(
    "--model",
    metavar="ID",
    help="the model to measure with; the smallest of 32 MiB or more that fits, unless given",
)
@settings_options()
def command(*, as_json: bool, no_measure: bool, model: str | None, **given: Any) -> int:
    """Find what is wrong with this machine and these settings, and say the fix.

    Checks Python, the settings, the plugins, the backends, the models, memory, the address,
    limits, processors and what modeld runs in. With a model it measures for about half a minute
    how many threads are fastest. It changes nothing and starts no server.

    Exit codes: 0 there is no error (there may be warnings), 1 there is one, 2 the settings cannot
    be read.

    \b
    Examples:
      modeld doctor --config modeld.yaml
      modeld doctor --no-measure                 all but the threads, in seconds
      modeld doctor --model llama-3.1-8b-q4_k_m.gguf
      modeld doctor --json | jq -r '.findings[] | select(.level != "ok") | .fix'
    """
    if no_measure and model is not None:
        raise click.UsageError("give --model or --no-measure, not both")
    found = resolved(given)
    logs.configure(_quiet(found), sys.stderr)
    # The checks import the web stack, as the server does; help and completion need none.
    from modeld.doctor import report  # noqa: PLC0415
    from modeld.doctor.run import DoctorOptions, diagnose  # noqa: PLC0415

    config = given.get("config") or os.environ.get("MODELD_CONFIG")
    options = DoctorOptions(
        resolved=found,
        machine=Machine(),
        config_file=Path(config).expanduser() if config else None,
        scripts=Path(sysconfig.get_path("scripts")),
        measures=not no_measure,
        model=model,
        progress=progress,
    )
    groups = diagnose(options)
    counts = report.counts(groups)
    click.echo(report.as_json(groups) if as_json else as_text(groups, counts))
    return 1 if counts["error"] else 0


def as_text(groups: Sequence[Group], counts: Counter[str]) -> str:
    """Return each finding with its level and its fix, group by group, and the counts at the end."""
    width = min(WIDEST, shutil.get_terminal_size((WIDEST, 24)).columns)
    lines: list[str] = []
    for group in groups:
        if group.findings:
            lines += [click.style(group.title, bold=True)]
            for finding in group.findings:
                lines += _finding(finding, width)
            lines += [""]
    return "\n".join([*lines, _sum(counts)])


def _quiet(found: Resolved) -> Settings:
    """Return settings without a log unless one was asked for: the findings say it all."""
    if found.origins["log_level"] != "default":
        return found.settings
    return replace(found.settings, log_level="off")


def _finding(finding: Finding, width: int) -> Iterator[str]:
    text = f"{visible(finding.subject)}: {visible(finding.message)}"
    first, *rest = _wrapped(text, width)
    level = click.style(finding.level, fg=_COLOURS[finding.level])
    yield f"  {level}{' ' * (9 - len(finding.level))}{first}"
    yield from (f"{_INDENT}{line}" for line in rest)
    if finding.fix is not None:
        first, *rest = _wrapped(f"fix: {visible(finding.fix)}", width)
        yield f"{_INDENT}{click.style('fix:', bold=True)}{first.removeprefix('fix:')}"
        yield from (f"{_INDENT}{line}" for line in rest)


def _wrapped(text: str, width: int) -> list[str]:
    """Return lines without a broken word: paths and commands stay fit to be copied."""
    return textwrap.wrap(
        text,
        max(30, width - len(_INDENT)),
        break_long_words=False,
        break_on_hyphens=False,
    ) or [""]


def _sum(found: Counter[str]) -> str:
    return (
        f"{count_text(found['error'], 'error')}, {count_text(found['warning'], 'warning')},"
        f" {found['ok']} ok"
    )
