# SPDX-License-Identifier: GPL-3.0-only
"""Parameters of commands: numbers, and the options made from the table of settings."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

import click
import msgspec

from modeld.errors import ConfigurationError
from modeld.plugins.tables import find_tables
from modeld.settings import (
    NO_TABLES,
    TABLE,
    PluginTables,
    Resolved,
    Settings,
    masked,
    own_settings,
    resolve,
)
from modeld.settings.setting import Setting, default_text
from modeld.terminal import visible

F = TypeVar("F", bound=Callable[..., Any])

SECTIONS: Final = {
    "addr": "Server",
    "models_dir": "Models and memory",
    "max_queue_depth": "Queues and fairness",
    "engine_host": "Workers",
    "log_level": "Logging and plugins",
}
"""The setting that each section of the help begins with."""

_METAVARS: Final[Mapping[Any, str]] = {
    int: "INTEGER",
    float: "NUMBER",
}
_CONFIG: Final = "config"
_TABLES: Final = "modeld.cli.params.tables"
"""Where a context keeps the plugins' settings, so that they are looked up once."""


class Number(click.FloatRange):
    """A range of numbers; ``nan``, which every comparison lets pass, is none."""

    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number, if it is in the range."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


class SettingOption(click.Option):
    """One setting as an option. It stays ``None`` unless it is given on the command line.

    The environment is read by :func:`modeld.settings.resolve` and not by click, so that every
    value has one origin.
    """

    def __init__(self, row: Setting) -> None:
        flags = [*row.flags, _parameter(row)]
        if row.type is bool:
            flags = [f"{row.flag}/--no-{row.flag.removeprefix('--')}", _parameter(row)]
        super().__init__(
            flags,
            default=None,
            type=_click_type(row),
            metavar=_metavar(row),
            help=f"{row.help}  [{row.variable}; default: {default_text(row)}]",
        )
        self.row = row

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Let the parser know the flags, and keep what the former one says apart."""
        super().add_to_parser(parser, ctx)
        if self.row.former:
            former, flag = self.row.former, self.row.flags[1]
            parser.add_option(obj=self, opts=[flag], dest=former, action="store")

    def consume_value(self, ctx: click.Context, opts: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return the value that one of the names was given.

        Raises:
            click.UsageError: both of them were.
        """
        given = [name for name in (self.name, self.row.former) if name in opts]
        if len(given) > 1:
            name, former = self.row.flags
            raise click.UsageError(f"{former} is another name of {name}; give one of them", ctx)
        if given:
            opts = {**opts, str(self.name): opts[str(given[0])]}
        return super().consume_value(ctx, opts)

    @property
    def section(self) -> str:
        """Return where the option stands in the help."""
        return _section_of().get(self.row.key, f"Settings of the plugin {self.row.plugin}")


class SettingsCommand(click.Command):
    """A command that has the settings of the installed plugins as options, beside its own.

    Its help shows options that have a ``section`` after all others.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Look the plugins' settings up first where they are asked for, then parse.

        It is not done at each start: it takes the time of importing every plugin.
        """
        ctx.meta[_TABLES] = NO_TABLES
        first = click.Context(self, ctx, resilient_parsing=True, ignore_unknown_options=True)
        given, _, order = self.make_parser(first).parse_args(list(args))
        wants_help = self.get_help_option(ctx) in order
        asks = ctx.resilient_parsing or wants_help or "show_config" in given
        known = {flag for param in self.get_params(ctx) for flag in _flags_of(param)}
        flags = {each.partition("=")[0] for each in args if each.startswith("--")}
        ctx.meta[_TABLES] = _tables(given) if asks or flags - known else None
        return super().parse_args(ctx, args)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return its own parameters, and then those of the plugins."""
        if _TABLES not in ctx.meta:
            ctx.meta[_TABLES] = _tables({})
        found: PluginTables = ctx.meta[_TABLES] or NO_TABLES
        rows = (row for table in found.tables for row in table.rows)
        return [*super().get_params(ctx), *map(SettingOption, rows)]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, section by section."""
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is None or isinstance(param, click.Argument):  # the text explains those
                continue
            sections.setdefault(getattr(param, "section", "Options"), []).append(record)
        for section, records in sections.items():
            with formatter.section(section):
                formatter.write_dl(records)


def settings_options(*names: str) -> Callable[[F], F]:
    """Return a decorator that gives a command ``--config`` and the settings named, or all.

    A command without names takes every setting.

    The command receives their values by name; :func:`resolved` puts them together.
    """
    unknown = set(names) - {row.name for row in TABLE}
    assert not unknown, f"no such setting: {unknown}"

    def decorate(function: F) -> F:
        params = function.__dict__.setdefault("__click_params__", [])
        params.append(
            click.Option(
                ["--config"],
                type=click.Path(dir_okay=False),
                help="settings file: .yaml, .json or .toml  [MODELD_CONFIG]",
            )
        )
        params.extend(SettingOption(row) for row in TABLE if not names or row.name in names)
        # click reverses the list, which decorators fill from the last option to the first.
        params.reverse()
        return function

    return decorate


def resolved(given: Mapping[str, Any]) -> Resolved:
    """Return the settings from what a command was given, the environment and the file.

    Raises:
        ConfigurationError: one of them is wrong.
    """
    context = click.get_current_context(silent=True)
    found: PluginTables | None = context.meta.get(_TABLES) if context else None
    rows = [*TABLE, *(row for table in (found or NO_TABLES).tables for row in table.rows)]
    flags = {row.key: given[name] for row in rows if given.get(name := _parameter(row)) is not None}
    return resolve(flags, os.environ, given.get(_CONFIG), find_tables if found is None else found)


def reader(given: Mapping[str, Any], result: Resolved) -> Callable[[], Settings]:
    """Return what reads the settings anew, as a command has read them at its start.

    The command line is the same then, and so is the environment; the file may be another.
    """
    rows = [*TABLE, *(row for table in result.tables.tables for row in table.rows)]
    flags = {row.key: given[name] for row in rows if given.get(name := _parameter(row)) is not None}
    environ, config = dict(os.environ), given.get(_CONFIG)
    return lambda: resolve(flags, environ, config, find_tables).settings


def as_yaml(result: Resolved) -> Iterable[str]:
    """Yield every setting as a line of a settings file, with its origin as a comment.

    Secrets are masked.
    """
    yield from _lines(TABLE, result.settings, result)
    for table in result.tables.tables:
        yield f"{table.plugin}:"
        values = result.settings.of(table.declared)
        yield from (f"  {each}" for each in _lines(table.rows, values, result))


def _lines(rows: Iterable[Setting], values: object, result: Resolved) -> Iterable[str]:
    for row in rows:
        value = masked(row.annotated, getattr(values, row.name))
        text = msgspec.json.encode(value).decode()
        yield f"{row.name}: {text}  # {visible(result.origins[row.key])}"


def _tables(given: Mapping[str, Any]) -> PluginTables:
    """Return the plugins' settings, from what is known of modeld's own so far.

    What is wrong with a plugin or a setting is said by the command itself, once it runs.
    """
    names = ("block_plugins", "plugin_timeout_s")
    flags = {name: given[name] for name in names if given.get(name) is not None}
    try:
        settings = own_settings(flags, os.environ, given.get(_CONFIG))
    except ConfigurationError:
        settings = Settings()
    try:
        return find_tables(settings)
    except ConfigurationError:
        return NO_TABLES


def _flags_of(param: click.Parameter) -> Iterable[str]:
    former = param.row.flags if isinstance(param, SettingOption) else ()
    return (*param.opts, *param.secondary_opts, *former)


def _parameter(row: Setting) -> str:
    """Return by what name click knows it; no setting of modeld's own has two underscores."""
    return row.key.replace(".", "__").replace("-", "_")


def _metavar(row: Setting) -> str | None:
    if row.unit_bytes:
        return "SIZE"
    if row.choices:
        return None
    if row.is_list_of_texts:
        return "NAMES"
    return "JSON" if row.is_json else _METAVARS.get(row.type)


def _click_type(row: Setting) -> click.ParamType[Any] | None:
    """Return what shells complete; the value itself is checked with all others."""
    if row.choices:
        return click.Choice(row.choices)
    if row.name.endswith("_dir"):
        return click.Path(file_okay=False)
    if row.name.endswith("_file"):
        return click.Path(dir_okay=False)
    return None if row.type is bool else click.STRING


def _section_of() -> dict[str, str]:
    sections = {}
    section = ""
    for row in TABLE:
        section = SECTIONS.get(row.name, section)
        sections[row.name] = section
    return sections
