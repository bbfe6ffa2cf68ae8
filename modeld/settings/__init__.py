# SPDX-License-Identifier: GPL-3.0-only
"""The settings: what can be set, and where each value comes from."""

from modeld.settings.model_rows import ModelOptions
from modeld.settings.plugin_table import (
    NO_TABLES,
    PluginSettings,
    PluginTable,
    PluginTables,
    Secret,
    masked,
    table_of,
)
from modeld.settings.resolution import Resolved, own_settings, resolve
from modeld.settings.table import TABLE, Settings

__all__ = [
    "NO_TABLES",
    "TABLE",
    "ModelOptions",
    "PluginSettings",
    "PluginTable",
    "PluginTables",
    "Resolved",
    "Secret",
    "Settings",
    "masked",
    "own_settings",
    "resolve",
    "table_of",
]
