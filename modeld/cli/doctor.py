# SPDX-License-Identifier: GPL-3.0-only
"""``modeld doctor``: finds what is wrong with this machine and these settings, and says the fix."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path
from typing import Any

import click
from msgspec.structs import replace

from modeld.cli import logs
from modeld.cli.options import SettingsCommand, resolved, settings_options
from modeld.settings import Resolved, Settings


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

    Examines Python, the settings, the plugins, the backends, the models, memory, the address,
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
    from modeld.cli.examination.examination import Examination, examine_all  # noqa: PLC0415
    from modeld.cli.examination.machine import Machine  # noqa: PLC0415
    from modeld.cli.examination.report import as_json as to_json  # noqa: PLC0415
    from modeld.cli.examination.report import as_text, counts  # noqa: PLC0415

    config = given.get("config") or os.environ.get("MODELD_CONFIG")
    groups = examine_all(
        Examination(
            resolved=found,
            machine=Machine(),
            config_file=Path(config).expanduser() if config else None,
            scripts=Path(sysconfig.get_path("scripts")),
            measures=not no_measure,
            model=model,
        )
    )
    click.echo(to_json(groups) if as_json else as_text(groups))
    return 1 if counts(groups)["error"] else 0


def _quiet(found: Resolved) -> Settings:
    """No log unless somebody has asked for one: what it would say is among the findings."""
    if found.origins["log_level"] != "default":
        return found.settings
    return replace(found.settings, log_level="off")
