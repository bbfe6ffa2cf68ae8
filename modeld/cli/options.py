# SPDX-License-Identifier: GPL-3.0-only
"""Command-line options made from the table of settings."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar, get_origin

import click
import msgspec

from modeld.cli.visible import visible
from modeld.settings import TABLE, Resolved, Setting, resolve

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


class SettingOption(click.Option):
    """One setting as an option. It stays ``None`` unless it is given on the command line.

    The environment is read by :func:`modeld.settings.resolve` and not by click, so that every
    value has one origin.
    """

    def __init__(self, row: Setting) -> None:
        flags = [row.flag, row.name]
        if row.type is bool:
            flags = [f"{row.flag}/--no-{row.flag.removeprefix('--')}", row.name]
        super().__init__(
            flags,
            default=None,
            type=_click_type(row),
            metavar=None if row.choices else _METAVARS.get(get_origin(row.type) or row.type),
            help=f"{row.help}  [{row.variable}; default: {default_text(row)}]",
        )
        self.row = row

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
            if record is None:
                continue
            sections.setdefault(getattr(param, "section", "Options"), []).append(record)
        for section, records in sections.items():
            with formatter.section(section):
                formatter.write_dl(records)


def settings_options(*names: str) -> Callable[[F], F]:
    """Decorate a command with ``--config`` and the settings called ``names``; all without names.

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
    """The settings from what a command was given, the environment and the file.

    Raises:
        ConfigurationError: one of them is wrong.
    """
    flags = {row.name: given[row.name] for row in TABLE if given.get(row.name) is not None}
    return resolve(flags, os.environ, given.get(_CONFIG))


def as_yaml(result: Resolved) -> Iterable[str]:
    """Every setting as a line of a settings file, with the origin of its value as a comment."""
    for row in TABLE:
        value = msgspec.json.encode(getattr(result.settings, row.name)).decode()
        yield f"{row.name}: {value}  # {visible(result.origins[row.name])}"


def default_text(row: Setting) -> str:
    """A setting's default value as a person would write it on a command line."""
    match row.default:
        case bool():
            return "on" if row.default else "off"
        case float():
            return f"{row.default:g}"
        case None | "" | () | {}:
            return "none"
        case tuple():
            return ",".join(row.default)
        case _:
            return str(row.default)


def _click_type(row: Setting) -> click.ParamType[Any] | None:
    """What shells complete; the value itself is checked with all others, in one place."""
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
