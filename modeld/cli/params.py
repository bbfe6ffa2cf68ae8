# SPDX-License-Identifier: GPL-3.0-only
"""Parameters of commands: numbers, and the options made from the table of settings."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar, get_origin

import click
import msgspec

from modeld.settings import TABLE, Resolved, resolve
from modeld.settings.setting import Setting, default_text, flag_of
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
    tuple: "NAMES",
    dict: "JSON",
}
_CONFIG: Final = "config"


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
        flags = [*map(flag_of, row.names), row.name]
        if row.type is bool:
            flags = [f"{row.flag}/--no-{row.flag.removeprefix('--')}", row.name]
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
            former = self.row.former
            parser.add_option(obj=self, opts=[flag_of(former)], dest=former, action="store")

    def consume_value(self, ctx: click.Context, opts: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return the value that one of the names was given.

        Raises:
            click.UsageError: both of them were.
        """
        given = [name for name in self.row.names if name in opts]
        if len(given) > 1:
            name, former = map(flag_of, given)
            raise click.UsageError(f"{former} is another name of {name}; give one of them", ctx)
        if given:
            opts = {**opts, self.row.name: opts[given[0]]}
        return super().consume_value(ctx, opts)

    @property
    def section(self) -> str:
        """Where the option stands in the help."""
        return _section_of()[self.row.name]


class SettingsCommand(click.Command):
    """A command whose help shows options that have a ``section`` after all others."""

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
    flags = {row.name: given[row.name] for row in TABLE if given.get(row.name) is not None}
    return resolve(flags, os.environ, given.get(_CONFIG))


def as_yaml(result: Resolved) -> Iterable[str]:
    """Yield every setting as a line of a settings file, with its origin as a comment."""
    for row in TABLE:
        value = msgspec.json.encode(getattr(result.settings, row.name)).decode()
        yield f"{row.name}: {value}  # {visible(result.origins[row.name])}"


def _metavar(row: Setting) -> str | None:
    if row.unit_bytes:
        return "SIZE"
    return None if row.choices else _METAVARS.get(get_origin(row.type) or row.type)


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
