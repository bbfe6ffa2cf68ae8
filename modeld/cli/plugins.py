# SPDX-License-Identifier: GPL-3.0-only
"""``modeld plugins``: what is installed, and what is wrong with it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import click
import msgspec
from msgspec.structs import replace

from modeld.cli import logs
from modeld.cli.params import SettingsCommand, resolved, settings_options
from modeld.plugins import PluginHost
from modeld.terminal import rows_as_text
from modeld.values import PluginStatus


@click.command("plugins", cls=SettingsCommand)
@click.option("--json", "as_json", is_flag=True, help="print a JSON array instead of a table")
@settings_options("eviction_policy", "block_plugins", "plugin_timeout_s")
def command(*, as_json: bool, **given: Any) -> int:
    """List the installed plugins, the broken ones with the reason.

    A broken plugin is left out; everything else goes on. An active one with a reason is in use but
    for what that names.

    \b
    Examples:
      modeld plugins
      modeld plugins --json | jq -r '.[] | select(.state == "broken") | .reason'
    """
    settings = resolved(given).settings
    logs.configure(replace(settings, log_level="error"), sys.stderr)  # the table has the reasons
    plugins = PluginHost.discover(settings)
    plugins.dialects()  # they are asked for last, when an application is assembled
    statuses = plugins.statuses()
    click.echo(json.dumps(msgspec.to_builtins(statuses), indent=2) if as_json else _table(statuses))
    return 0


def _table(statuses: Sequence[PluginStatus]) -> str:
    return rows_as_text(
        ("PLUGIN", "DISTRIBUTION", "VERSION", "STATE", "PROVIDES; WHAT IS WRONG"),
        [
            (each.name, each.distribution, each.version, each.state, _words(each))
            for each in statuses
        ],
    )


def _words(status: PluginStatus) -> str:
    return "; ".join(filter(None, (", ".join(status.provides), status.reason)))
