# SPDX-License-Identifier: GPL-3.0-only
"""Where the value of each setting comes from: the command line, the environment, the file.

A flag wins over the environment, that over the file, that over the default.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from msgspec.structs import replace

from modeld.errors import ConfigurationError
from modeld.expectation import nearest, shown
from modeld.settings.file import read_file
from modeld.settings.plugin_table import (
    NO_TABLES,
    PluginSettings,
    PluginTable,
    PluginTables,
    refuse_masks,
)
from modeld.settings.setting import ENV_PREFIX, Setting, convert, from_text
from modeld.settings.table import TABLE, Settings
from modeld.values import Value

_OTHER_VARIABLES = ("CONFIG", "BENCH_API_KEY")  # read elsewhere, so no settings and no mistakes

_OWN = {name: row for row in TABLE for name in row.names}

FindTables: TypeAlias = Callable[[Settings], PluginTables]
"""Asks the installed plugins for their settings; it is told modeld's own."""


class Resolved(Value, frozen=True, kw_only=True):
    """Settings and the origin of each value: a flag, a variable, a file or ``default``.

    ``tables`` has the plugins' settings, as far as they were asked for. ``warnings`` are for the
    log: variables that look like settings and are none. They are no errors, because others set such
    variables too (Kubernetes does for a service named modeld).
    """

    settings: Settings
    origins: Mapping[str, str]
    tables: PluginTables = NO_TABLES
    warnings: tuple[str, ...] = ()


def resolve(
    flags: Mapping[str, object],
    environ: Mapping[str, str],
    config: str | None = None,
    tables: PluginTables | FindTables = NO_TABLES,
) -> Resolved:
    """Return the settings, from the flags given, the environment and the file ``config``.

    A variable that is empty counts as unset. ``flags`` maps the keys of settings to values for
    those that were given on the command line. Where ``config`` is ``None``, ``MODELD_CONFIG`` names
    the file. ``tables`` are the plugins' settings, or finds them, which is done only where
    something is set that is none of modeld's own.

    Raises:
        ConfigurationError: a value is unknown, of the wrong type or out of range; it says where
            it came from and what was expected.
    """
    given = _Given(flags, environ, config)
    settings = given.settings()
    if not isinstance(tables, PluginTables):
        tables = tables(settings) if given.has_others() else NO_TABLES
    given.check_tables(tables)
    if tables.tables:
        plugins = tuple(given.settings_of(table) for table in tables.tables)
        settings = replace(settings, plugins=plugins)
    _check_margin(settings)
    _check_gpus(settings)
    return Resolved(
        settings=settings,
        origins=given.origins,
        tables=tables,
        warnings=given.warnings(tables),
    )


def own_settings(
    flags: Mapping[str, object], environ: Mapping[str, str], config: str | None = None
) -> Settings:
    """Return modeld's own settings, for those who need them before the plugins' are known.

    Raises:
        ConfigurationError: as :func:`resolve` raises it for these.
    """
    return _Given(flags, environ, config).settings()


class _Given:
    """What the command line, the environment and the file say, and what came from where."""

    def __init__(
        self, flags: Mapping[str, object], environ: Mapping[str, str], config: str | None
    ) -> None:
        self.origins: dict[str, str] = {}
        self._flags = flags
        self._environ = environ
        self._config = config or environ.get(ENV_PREFIX + "CONFIG") or ""
        self._file = read_file(self._config) if self._config else {}

    def settings(self) -> Settings:
        """Return modeld's own settings."""
        values = self._values(TABLE, self._file, self._config)
        return Settings(**values)  # type: ignore[arg-type]  # each was converted to its row's type

    def settings_of(self, table: PluginTable) -> PluginSettings:
        """Return the settings of one plugin."""
        where = f"{self._config}: {table.plugin}"
        written = self._file.get(table.plugin, {})
        if not isinstance(written, dict):
            raise ConfigurationError(
                f"{where}: expected a table of settings of this plugin, got {shown(written)}",
                field=table.plugin,
            )
        known = [row.name for row in table.rows]
        for name in written:
            if name not in known:
                raise _unknown_key(f"{where}", name, known)
        try:
            return table.declared(**self._values(table.rows, written, where))
        except ConfigurationError:
            raise
        except Exception as exc:  # what its author's __post_init__ says
            raise ConfigurationError(
                f"the settings of the plugin {table.plugin!r}: {exc}", field=table.plugin
            ) from exc

    def has_others(self) -> bool:
        """Return whether anything is set that is no setting of modeld's own."""
        own = {row.key for row in TABLE}
        return (
            bool(self._others())
            or any(key not in own for key in self._flags)
            or bool(self._unknown_variables(TABLE))
        )

    def check_tables(self, tables: PluginTables) -> None:
        """Refuse keys of the file that are neither settings nor the names of plugins with some.

        Raises:
            ConfigurationError: there is one.
        """
        plugins = [table.plugin for table in tables.tables]
        for name in self._others():
            if name in tables.without:
                raise ConfigurationError(
                    f"{self._config}: the plugin {name!r} takes no settings; take its table out",
                    field=str(name),
                )
            if name not in plugins and name not in tables.left_out:
                raise self._unknown(name, plugins)

    def warnings(self, tables: PluginTables) -> tuple[str, ...]:
        """Return what is set and not used."""
        rows = [*TABLE, *(row for table in tables.tables for row in table.rows)]
        left_out = [
            f"{self._config}: the table {name!r} is not used: {tables.left_out[name]}"
            for name in self._others()
            if name in tables.left_out
        ]
        return (*left_out, *self._unknown_variables(rows))

    def _others(self) -> Sequence[Any]:
        return [name for name in self._file if name not in _OWN]

    def _unknown(self, name: object, plugins: Sequence[str]) -> ConfigurationError:
        known = [*(row.name for row in TABLE), *plugins]
        if isinstance(self._file[name], dict) and not nearest(str(name), known):
            return ConfigurationError(
                f"{self._config}: {str(name)!r} is neither a setting nor an installed plugin;"
                " install the plugin whose table it is, or take the table out",
                field=str(name),
            )
        return _unknown_key(self._config, name, known)

    def _values(
        self, rows: Iterable[Setting], written: Mapping[Any, object], where: str
    ) -> dict[str, object]:
        values: dict[str, object] = {}
        for row in rows:
            self.origins[row.key] = "default"
            for value, said_by, origin in self._said(row, written, where):
                values[row.name] = (
                    from_text(row, value, said_by)
                    if isinstance(value, str) and not origin.startswith("file ")
                    else convert(row, value, said_by)
                )
                refuse_masks(row.annotated, values[row.name], said_by)
                self.origins[row.key] = origin
        return values

    def _said(
        self, row: Setting, written: Mapping[Any, object], where: str
    ) -> Iterable[tuple[object, str, str]]:
        """Yield each value that a setting is given, with what errors name it by and its origin.

        The weakest comes first.
        """
        if name := _only([name for name in row.names if name in written], self._config, row.name):
            dot = "." if row.plugin else ": "
            yield written[name], f"{where}{dot}{name}", f"file {self._config}"
        given = [variable for variable in row.variables if self._environ.get(variable)]
        if variable := _only(given, "environment", row.name):
            yield self._environ[variable], variable, f"environment {variable}"
        if row.key in self._flags:
            yield self._flags[row.key], row.flag, f"flag {row.flag}"

    def _unknown_variables(self, rows: Iterable[Setting]) -> tuple[str, ...]:
        known = [variable for row in rows for variable in row.variables]
        known += [ENV_PREFIX + name for name in _OTHER_VARIABLES]
        return tuple(
            f"environment: {name} is no setting and is ignored{nearest(name, known)}"
            for name in sorted(self._environ)
            if name.startswith(ENV_PREFIX) and name not in known
        )


def _only(names: Sequence[str], where: str, name: str) -> str:
    """Return the one name of a setting that is used, or nothing.

    Raises:
        ConfigurationError: both of its names are.
    """
    if len(names) > 1:
        current, former = names
        raise ConfigurationError(
            f"{where}: {former} is another name of {current}; set one of them", field=name
        )
    return names[0] if names else ""


def _unknown_key(where: str, name: object, known: Sequence[str]) -> ConfigurationError:
    hint = nearest(str(name), list(known))
    return ConfigurationError(f"{where}: unknown key {str(name)!r}{hint}", field=str(name))


def _check_gpus(settings: Settings) -> None:
    given = settings.gpu_budget_mb
    table = given if isinstance(given, Mapping) else {"": given}
    for number, size_mb in table.items():
        if number and not (number.isdecimal() and str(int(number)) == number):
            raise ConfigurationError(
                f"gpu_budget_mb: {number!r} is no GPU's number; they are 0, 1 and so on",
                field="gpu_budget_mb",
            )
        if isinstance(size_mb, int) and 0 < size_mb <= settings.memory_margin_mb:
            raise ConfigurationError(
                f"memory_margin_mb ({settings.memory_margin_mb}) leaves nothing of gpu_budget_mb"
                f" ({size_mb}); make the margin smaller than the budget",
                field="memory_margin_mb",
            )


def _check_margin(settings: Settings) -> None:
    if settings.budget_bytes is not None and settings.margin_bytes >= settings.budget_bytes:
        raise ConfigurationError(
            f"memory_margin_mb ({settings.memory_margin_mb}) leaves nothing of memory_budget_mb"
            f" ({settings.memory_budget_mb}); make the margin smaller than the budget",
            field="memory_margin_mb",
        )
