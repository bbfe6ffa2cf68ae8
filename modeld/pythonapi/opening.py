# SPDX-License-Identifier: GPL-3.0-only
"""Opens the models of this machine for a program."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import overload

from modeld.errors import ConfigurationError
from modeld.expectation import nearest
from modeld.lifetime import assembled
from modeld.plugins.host import PluginHost
from modeld.plugins.tables import find_tables
from modeld.pythonapi.blocking import BlockingModels
from modeld.pythonapi.models import Models
from modeld.settings import TABLE, Settings, resolve
from modeld.settings.setting import convert, from_text


@overload
def open(settings: Settings, /, *, plugins: PluginHost | None = None) -> Models: ...  # noqa: A001


@overload
def open(  # noqa: A001
    config: str | os.PathLike[str] | None = None,
    /,
    *,
    plugins: PluginHost | None = None,
    **settings: object,
) -> Models: ...


def open(  # noqa: A001  (modeld.open is what it is called by)
    given: Settings | str | os.PathLike[str] | None = None,
    /,
    *,
    plugins: PluginHost | None = None,
    **settings: object,
) -> Models:
    """Return the models of this machine, for ``async with``; nothing starts yet.

    Settings come from keywords, then from the environment, then from the file that is named or
    that ``MODELD_CONFIG`` names, as for ``modeld serve``; or all of them are given as one value.
    Without ``plugins`` all that are installed take part. Two in one process share nothing but the
    machine's memory: where both have a budget, each needs ``share_machine``.

    Raises:
        ConfigurationError: the settings or the plugins cannot be used.
    """
    found = _settings(given, settings)
    plugins = PluginHost.discover(found) if plugins is None else plugins
    lifetime = assembled(found, plugins)
    return Models(lifetime.service, plugins.sampling, start=lifetime.start, close=lifetime.aclose)


@overload
def open_blocking(
    settings: Settings, /, *, plugins: PluginHost | None = None
) -> BlockingModels: ...


@overload
def open_blocking(
    config: str | os.PathLike[str] | None = None,
    /,
    *,
    plugins: PluginHost | None = None,
    **settings: object,
) -> BlockingModels: ...


def open_blocking(
    given: Settings | str | os.PathLike[str] | None = None,
    /,
    *,
    plugins: PluginHost | None = None,
    **settings: object,
) -> BlockingModels:
    """Return the same as :func:`open` for code that is not asynchronous, for ``with``.

    Raises:
        ConfigurationError: the settings or the plugins cannot be used.
    """
    found = _settings(given, settings)
    return BlockingModels(open(found, plugins=plugins))


def _settings(
    given: Settings | str | os.PathLike[str] | None, keywords: Mapping[str, object]
) -> Settings:
    if not isinstance(given, Settings):
        config = None if given is None else os.fspath(given)
        return resolve(_converted(keywords), os.environ, config, find_tables).settings
    for name in keywords:
        raise ConfigurationError(f"{name}: set it in the Settings, which are given too", field=name)
    return given


def _converted(keywords: Mapping[str, object]) -> dict[str, object]:
    """Return the values of settings by their names, as flags have them.

    They are converted here, so that errors name the keyword and not a flag.
    """
    rows = {name: row for row in TABLE for name in row.names}
    found: dict[str, object] = {}
    for name, value in keywords.items():
        if name not in rows:
            hint = nearest(name, [row.name for row in TABLE])
            raise ConfigurationError(f"{name}: there is no such setting{hint}", field=name)
        row = rows[name]
        if row.name in found:
            raise ConfigurationError(
                f"{row.former} is another name of {row.name}; set one of them", field=row.name
            )
        text = os.fspath(value) if isinstance(value, os.PathLike) else value
        found[row.name] = (
            from_text(row, text, name) if isinstance(text, str) else convert(row, text, name)
        )
    return found
