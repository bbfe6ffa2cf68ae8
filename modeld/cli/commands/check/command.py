# SPDX-License-Identifier: GPL-3.0-only
"""``modeld check``: tests an installed plugin against the contracts of what it brings."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from msgspec.structs import replace

from modeld.cli import logs
from modeld.cli.params import SettingsCommand, resolved, settings_options
from modeld.settings import Settings
from modeld.settings.folders import joined
from modeld.terminal import progress, rows_as_text

if TYPE_CHECKING:
    from modeld.cli.commands.check.apart import Order
    from modeld.cli.commands.check.subjects import Subject
    from modeld.testing.contract import Outcome

_SETTINGS = ("models", "follow_links", "plugin_timeout_s", "log_level", "log_format")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What came of one check of one thing that the plugin brings."""

    subject: str
    outcome: Outcome


@click.command("check", cls=SettingsCommand)
@click.argument("plugin")
@click.option(
    "--model",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="the model to check a backend with; without it nothing is loaded",
)
@click.option(
    "--prompt", metavar="TEXT", help="what that model goes on with, for six words or more"
)
@click.option("--json", "as_json", is_flag=True, help="print a JSON array instead of a table")
@settings_options(*_SETTINGS)
def command(
    *, plugin: str, model: Path | None, prompt: str | None, as_json: bool, **given: Any
) -> int:
    """Check that PLUGIN keeps to the contracts of what it brings.

    Each check passed or failed, was disclaimed (the plugin declares that it does not do this, and
    it is refused) or is untested (something was not given, or an earlier check failed). A backend
    is checked in a process of its own, with its engines in threads of that.

    Exit codes: 0 no check failed, 1 one did, 2 there is no such plugin or model.

    \b
    Examples:
      modeld check lru
      modeld check llama-cpp --model ~/models/llm/tiny.gguf
      modeld check my-plugin --json | jq -r '.[] | select(.verdict == "failed") | .why'
    """
    settings = resolved(given).settings
    if prompt is not None and model is None:
        raise click.UsageError("--prompt needs a --model that goes on with it")
    if model is not None:
        folder = str(model.expanduser().absolute().parent)
        settings = replace(settings, models_dir=joined([folder]))
    logs.configure(settings, sys.stderr)
    # The kit imports the web stack, as the server does; help and completion need none.
    from modeld.cli.commands.check.apart import Order  # noqa: PLC0415
    from modeld.cli.commands.check.subjects import subjects_of  # noqa: PLC0415

    order = Order(plugin=plugin, settings=settings, model=model, prompt=prompt)
    found = subjects_of(plugin, settings, model, prompt)
    checked = [*_broken(plugin, settings), *_checked(found, order)]
    click.echo(_as_json(checked) if as_json else _as_table(checked))
    return 1 if any(each.outcome.verdict == "failed" for each in checked) else 0


def _checked(subjects: Sequence[Subject], order: Order) -> Iterator[Checked]:
    from modeld.cli.commands.check.apart import run_apart  # noqa: PLC0415
    from modeld.testing.contract import run  # noqa: PLC0415

    for subject in subjects:
        names = subject.contract.checks()
        checks = dataclasses.replace(order, subject=subject.name, checks=tuple(names))
        outcomes = run_apart(checks) if subject.runs_code_of_runtimes else run(subject.contract)
        with progress(f"checking {subject.name}") as show:
            for number, outcome in enumerate(outcomes, start=1):
                show(number / len(names))
                yield Checked(subject=subject.name, outcome=outcome)


def _broken(plugin: str, settings: Settings) -> Iterator[Checked]:
    """Yield what is wrong with the plugin as a whole."""
    from modeld.cli.commands.check.subjects import status_of  # noqa: PLC0415
    from modeld.testing.contract import Outcome  # noqa: PLC0415

    status = status_of(plugin, settings)
    yield Checked(
        subject=f"plugin {plugin}",
        outcome=Outcome(
            check="test_it_is_found_and_whole",
            verdict="failed" if status.reason else "passed",
            why=status.reason or "",
        ),
    )


def _as_json(checked: Sequence[Checked]) -> str:
    return json.dumps(
        [
            {
                "subject": each.subject,
                "check": each.outcome.check.removeprefix("test_"),
                "verdict": each.outcome.verdict,
                "why": each.outcome.why,
            }
            for each in checked
        ],
        indent=2,
    )


def _as_table(checked: Sequence[Checked]) -> str:
    counts = Counter(each.outcome.verdict for each in checked)
    table = rows_as_text(
        ("SUBJECT", "CHECK", "VERDICT", "WHY"),
        [
            (each.subject, each.outcome.words, each.outcome.verdict, each.outcome.why)
            for each in checked
        ],
    )
    words = ", ".join(
        f"{counts[verdict]} {verdict}" for verdict in ("passed", "failed", "disclaimed", "untested")
    )
    return f"{table}\n\n{words}"
