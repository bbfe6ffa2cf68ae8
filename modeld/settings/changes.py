# SPDX-License-Identifier: GPL-3.0-only
"""Which changes of the settings a running server can take over, and which it cannot."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from msgspec.structs import fields, replace

from modeld.settings.plugin_table import PluginSettings
from modeld.settings.table import TABLE, Settings
from modeld.values import Value

RELOADABLE: Final = frozenset(
    {
        "api_key_file",
        "default_model",
        "eviction_policy",
        "log_level",
        "max_idle_s",
        "max_overtake_s",
        "max_queue_depth",
        "max_wait_s",
        "min_residence_s",
        "models",
        "presets",
        "readiness",
    }
)
"""The settings that a running server takes over; all others need a restart."""


class SettingsChange(Value, frozen=True, kw_only=True):
    """How a server goes on: with ``settings``, in which what needs a restart is as it was.

    ``changed`` and ``needs_restart`` are keys as they are in the file, those of a plugin with its
    name before them.
    """

    settings: Settings
    changed: tuple[str, ...]
    needs_restart: tuple[str, ...]


def change_of(
    now: Settings, wanted: Settings, plugins: Mapping[type[PluginSettings], str]
) -> SettingsChange:
    """Return how a server with the settings ``now`` goes on where others are ``wanted``.

    ``plugins`` has the names of those that have settings.
    """
    differs = [row.name for row in TABLE if getattr(now, row.name) != getattr(wanted, row.name)]
    changed = [name for name in differs if _can_change(name, now, wanted)]
    taken = {name: getattr(wanted, name) for name in changed}
    return SettingsChange(
        settings=replace(now, **taken),
        changed=tuple(changed),
        needs_restart=(
            *(name for name in differs if name not in changed),
            *_of_plugins(now, wanted, plugins),
        ),
    )


def _can_change(name: str, now: Settings, wanted: Settings) -> bool:
    if name == "api_key_file":  # what needs no key is open to others, and told otherwise
        return bool(now.api_key_file) == bool(wanted.api_key_file)
    return name in RELOADABLE


def _of_plugins(
    now: Settings, wanted: Settings, plugins: Mapping[type[PluginSettings], str]
) -> Iterator[str]:
    """Yield what differs in the settings of plugins, which take theirs once, at the start."""
    for declared in dict.fromkeys(type(each) for each in (*now.plugins, *wanted.plugins)):
        before, after = now.of(declared), wanted.of(declared)
        for field in fields(declared):
            if getattr(before, field.name) != getattr(after, field.name):
                yield f"{plugins.get(declared, declared.__name__)}.{field.name}"
