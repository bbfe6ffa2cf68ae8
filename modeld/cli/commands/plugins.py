# SPDX-License-Identifier: GPL-3.0-only
"""``modeld plugins``: what is installed, and what is wrong with it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click
import msgspec
from msgspec.structs import replace

from modeld.cli import logs
from modeld.cli.params import SettingsCommand, resolved, settings_options
from modeld.plugins.host import PluginHost
from modeld.settings import Settings
from modeld.terminal import rows_as_text
from modeld.values import PluginStatus

FINE, FAULTY = 0, 1


@click.command("plugins", cls=SettingsCommand)
@click.option("--json", "as_json", is_flag=True, help="print a JSON array instead of a table")
@click.option(
    "--server",
    metavar="URL",
    help="ask the server that runs there, which knows what went wrong later too",
)
@settings_options("api_key_file", "eviction_policy", "block_plugins", "plugin_timeout_s")
def command(*, as_json: bool, server: str | None, **given: Any) -> int:
    """List the installed plugins, the broken ones with the reason.

    A broken plugin is left out; everything else goes on. An active one with a reason is in use but
    for what that names. What goes wrong in a plugin later, only the server knows in which that
    happens: with --server it is asked, with the first key of --api-key-file if it needs one.

    The exit code is 1 if a plugin is broken, is not in use as a whole, or has gone wrong.

    \b
    Examples:
      modeld plugins
      modeld plugins --server http://127.0.0.1:8080
      modeld plugins --json | jq -r '.[] | select(.state == "broken") | .reason'
    """
    settings = resolved(given).settings
    statuses = _found(settings) if server is None else _asked(server, settings)
    click.echo(json.dumps(msgspec.to_builtins(statuses), indent=2) if as_json else _table(statuses))
    return FAULTY if any(each.reason or each.faults for each in statuses) else FINE


def _found(settings: Settings) -> Sequence[PluginStatus]:
    """Return the plugins that are installed here."""
    logs.configure(replace(settings, log_level="error"), sys.stderr)  # the table has the reasons
    plugins = PluginHost.discover(settings)
    plugins.dialects()  # they are asked for last, when an application is assembled
    return plugins.statuses()


def _asked(server: str, settings: Settings) -> Sequence[PluginStatus]:
    # It brings the web stack, which a list of what is installed can do without.
    from modeld.cli.running_server import plugins_of  # noqa: PLC0415

    return plugins_of(server, settings.api_key_file)


def _table(statuses: Sequence[PluginStatus]) -> str:
    return rows_as_text(
        ("PLUGIN", "DISTRIBUTION", "VERSION", "STATE", "PROVIDES; WHAT IS WRONG"),
        [
            (each.name, each.distribution, each.version, each.state, "; ".join(_words(each)))
            for each in statuses
        ],
    )


def _words(status: PluginStatus) -> Iterator[str]:
    if status.provides:
        yield ", ".join(status.provides)
    if status.reason:
        yield status.reason
    for fault in status.faults:
        yield fault.message if fault.count == 1 else f"{fault.message} ({fault.count} times)"
