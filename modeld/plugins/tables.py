# SPDX-License-Identifier: GPL-3.0-only
"""Finds the settings tables of installed plugins without loading anything else of them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping

from modeld.errors import ConfigurationError
from modeld.plugins.hooks import PluginHooks
from modeld.plugins.installed_plugin import InstalledPlugin, entries
from modeld.settings import PluginTables, Settings, resolve


def find_tables(settings: Settings) -> PluginTables:
    """Return the tables of all plugins, modeld's own too, without an import of what has none.

    It logs nothing: what is wrong with a plugin is said by who uses it.

    Raises:
        ConfigurationError: two settings of plugins would have one variable.
    """
    hooks = PluginHooks(settings)
    found = {}
    installed = entries()
    for entry in installed:
        if not entry.may_have_settings:
            continue
        found[entry.name] = plugin = InstalledPlugin(entry.name, "", "", hooks, is_logged=False)
        if entry.name in settings.block_plugins:
            plugin.block()
        else:
            plugin.brought(entry.load, ())
    check_distinct(found.values())
    in_use = [name for name, each in found.items() if each.status().state == "active"]
    return PluginTables(
        tables=tuple(each.table for each in found.values() if each.table),
        left_out={name: _why(each) for name, each in found.items() if name not in in_use},
        without=tuple(
            entry.name
            for entry in installed
            if entry.name not in found or (entry.name in in_use and found[entry.name].table is None)
        ),
    )


def read_settings(config: str | None = None, environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings as ``modeld serve`` without options has them, the plugins' too.

    They come from the environment, this process's unless another is given, and from the file
    ``config``, or the one that ``MODELD_CONFIG`` names.

    Raises:
        ConfigurationError: a value is unknown, of the wrong type or out of range.
    """
    return resolve({}, os.environ if environ is None else environ, config, find_tables).settings


def check_distinct(plugins: Iterable[InstalledPlugin]) -> None:
    """Let no two plugins have one variable, and with it one flag.

    ``c`` of a plugin ``a-b`` and ``b_c`` of a plugin ``a`` are both ``MODELD_A_B_C``.

    Raises:
        ConfigurationError: two have; it names both.
    """
    owners: dict[str, str] = {}
    for plugin in plugins:
        for row in plugin.table.rows if plugin.table else ():
            owner = owners.setdefault(row.variable, plugin.name)
            if owner != plugin.name:
                raise ConfigurationError(
                    f"the settings of the plugins {owner!r} and {plugin.name!r} both have"
                    f" {row.variable}; leave one out with --block-plugins {plugin.name}"
                )


def unused(settings: Settings, plugins: Iterable[InstalledPlugin]) -> Iterator[str]:
    """Yield a warning for what an application has set of plugins that are not in use."""
    taken = {plugin.table.declared for plugin in plugins if plugin.table}
    for given in settings.plugins:
        if type(given) not in taken:
            yield f"the settings {type(given).__name__} are not used: no plugin in use takes them"


def _why(plugin: InstalledPlugin) -> str:
    status = plugin.status()
    if status.state == "blocked":
        return "block_plugins leaves the plugin out"
    return f"the plugin is broken: {status.reason}"
