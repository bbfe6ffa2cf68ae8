# SPDX-License-Identifier: GPL-3.0-only
"""Looks up the commands of plugins, only where no built-in command is asked for."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Final

import click

from modeld.commands import Command
from modeld.errors import ConfigurationError, InternalError
from modeld.expectation import nearest
from modeld.plugins.guard import described
from modeld.plugins.host import PluginHost
from modeld.plugins.tables import read_settings
from modeld.settings import Settings
from modeld.values import PluginStatus

EXTRAS: Final[Mapping[str, str]] = {"bench": "bench", "ray": "ray"}
"""The extra of modeld that installs a command which is no part of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginCommands:
    """The commands of the installed plugins by name, the plugins' states, and what is wrong.

    ``states`` is ``None`` where they could not be looked up.
    """

    commands: Mapping[str, Command] = field(default_factory=dict)
    owners: Mapping[str, str] = field(default_factory=dict)
    states: Mapping[str, str] | None = None
    warnings: tuple[str, ...] = ()

    def load(self, name: str) -> click.Command:
        """Import a command of this name.

        Raises:
            InternalError: it cannot be imported, or is no command.
        """
        command = self.commands[name]
        module, _, attribute = command.target.partition(":")
        where = f"the command {name!r} of the plugin {self.owners[name]!r} cannot be used"
        try:
            found = getattr(import_module(module), attribute)
        except (Exception, SystemExit) as exc:
            raise InternalError(f"{where}: {described(exc)}") from exc
        if not isinstance(found, click.Command):
            raise InternalError(f"{where}: {command.target} is no click.Command")
        return found

    def why_unknown(self, name: str, built_in: list[str]) -> str:
        """Return why there is no command of this name, with what to do where that is known."""
        if self.states is not None and self.states.get(name) == "blocked":
            return f"no such command: {name!r}; block_plugins leaves out the plugin of this name"
        if self.states is not None and name in EXTRAS and name not in self.states:
            return f"modeld {name} is not installed; `pip install modeld[{EXTRAS[name]}]` brings it"
        return f"no such command: {name!r}{nearest(name, [*built_in, *self.commands])}"


def find_plugin_commands() -> PluginCommands:
    """Ask the installed plugins for their commands; a faulty plugin costs only its own."""
    # Who runs a command is told below what is wrong; without a handler it would be told twice.
    logging.getLogger("modeld.plugins").addHandler(logging.NullHandler())
    try:
        host = PluginHost.discover_commands(_settings())
    except ConfigurationError as exc:
        return PluginCommands(warnings=(exc.message,))
    statuses = host.statuses()
    return PluginCommands(
        commands=host.commands,
        owners={name: host.owner_of("command", name) for name in host.commands},
        states={each.name: each.state for each in statuses},
        warnings=tuple(_warning(each) for each in statuses if each.reason),
    )


def _warning(status: PluginStatus) -> str:
    is_out = " is left out" if status.state == "broken" else ""
    return f"the plugin {status.name!r}{is_out}: {status.reason}"


def _settings() -> Settings:
    """Return the settings, or the defaults if they are wrong: other commands say how."""
    try:
        return read_settings()
    except ConfigurationError:
        return Settings()
