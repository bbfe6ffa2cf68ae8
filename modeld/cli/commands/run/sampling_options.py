# SPDX-License-Identifier: GPL-3.0-only
"""Command-line options for how the next token is chosen, made from the table of parameters.

Those of the installed backends are looked up when a command is parsed or asked for its help. Which
of them the model takes is for the service to say, which knows the model's backend.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import click
from msgspec import inspect

from modeld.cli.params import Number, SettingsCommand
from modeld.errors import ConfigurationError
from modeld.plugins.host import PluginHost
from modeld.plugins.tables import read_settings
from modeld.requests import Sampling
from modeld.sampling import COMMON, SamplingParameter, is_pairs
from modeld.settings import Settings

F = TypeVar("F", bound=Callable[..., Any])

_FOUND: Final = "modeld.cli.commands.run.sampling_options"
"""Where a context keeps the backends' options, so that they are looked up once."""


class SamplingOption(click.Option):
    """One parameter as an option. It stays unset unless it is given."""

    def __init__(self, row: SamplingParameter) -> None:
        is_switch = isinstance(row.kind, inspect.BoolType)
        flags = [row.flag, row.name]
        if is_switch and row.default is None:
            flags = [f"{row.flag}/--no-{row.flag.removeprefix('--')}", row.name]
        super().__init__(
            flags,
            default=None,
            type=None if is_switch else _click_type(row.written_kind),
            is_flag=is_switch,
            multiple=isinstance(row.kind, inspect.VarTupleType),
            help=row.help,
        )
        self.row = row

    @property
    def section(self) -> str:
        """Return where the option stands in the help: its backends have sections of their own."""
        backends = ", ".join(self.row.backends)
        return f"Sampling by {backends}" if backends else "Sampling"


class SamplingCommand(SettingsCommand):
    """A command that also has the options that the installed backends declare."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return its own parameters, with the backends' after the ones that all engines know."""
        params = super().get_params(ctx)
        if _FOUND not in ctx.meta:
            ctx.meta[_FOUND] = [SamplingOption(row) for row in _declared()]
        last = max(at for at, param in enumerate(params) if isinstance(param, SamplingOption))
        return [*params[: last + 1], *ctx.meta[_FOUND], *params[last + 1 :]]


def sampling_options(function: F) -> F:
    """Decorate a command with the options; :func:`sampling` puts their values together."""
    options = [SamplingOption(row) for row in COMMON if not is_pairs(row.kind)]  # for programs
    params = function.__dict__.setdefault("__click_params__", [])
    params.extend(reversed(options))  # click reverses the list, and with it this part
    return function


def sampling(given: Mapping[str, Any]) -> Sampling:
    """Return what a command was given, as a value."""
    common = {row.name: row.value_of(given.get(row.name)) for row in COMMON}
    options = click.get_current_context().meta.get(_FOUND, ())
    own = {name: value for name in _names(options) if (value := given[name]) not in (None, ())}
    return Sampling(**common, own=own)


def _names(options: list[SamplingOption]) -> list[str]:
    return [option.row.name for option in options]


def _declared() -> tuple[SamplingParameter, ...]:
    """Return what the installed backends declare, as the environment and the file name them.

    What is wrong with a plugin or a setting is said by the command itself, once it runs.
    """
    try:
        settings = read_settings()
    except ConfigurationError:
        settings = Settings()
    try:
        return PluginHost.discover_sampling(settings)
    except ConfigurationError:
        return ()


def _click_type(kind: inspect.Type) -> click.ParamType[Any]:
    match kind:
        case inspect.IntType(ge=low, gt=above, le=high, lt=below):
            return _Whole(
                *(_either(low, above), _either(high, below)),
                min_open=above is not None,
                max_open=below is not None,
            )
        case inspect.FloatType(ge=low, gt=above, le=high, lt=below):
            return Number(
                *(_either(low, above), _either(high, below)),
                min_open=above is not None,
                max_open=below is not None,
            )
        case inspect.LiteralType(values=values):
            return click.Choice([str(value) for value in values])
        case _:
            return click.STRING


def _either(closed: float | None, opened: float | None) -> Any:
    return closed if opened is None else opened


class _Whole(click.IntRange):
    name = "integer"
