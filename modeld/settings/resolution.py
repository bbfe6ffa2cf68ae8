# SPDX-License-Identifier: GPL-3.0-only
"""Where the value of each setting comes from: the command line, the environment, the file.

A flag wins over the environment, that over the file, that over the default.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modeld.errors import ConfigurationError
from modeld.expectation import nearest
from modeld.settings.file import read_file
from modeld.settings.setting import ENV_PREFIX, Setting, convert, from_text, variable_of
from modeld.settings.table import TABLE, Settings
from modeld.values import Value

_OTHER_VARIABLES = ("CONFIG", "BENCH_API_KEY")  # read elsewhere, so no settings and no mistakes

_BY_NAME = {row.name: row for row in TABLE}
_BY_ANY_NAME = {name: row for row in TABLE for name in row.names}


class Resolved(Value, frozen=True, kw_only=True):
    """Settings and the origin of each value: a flag, a variable, a file or ``default``.

    ``warnings`` are for the log: variables that look like settings and are none. They are no
    errors, because others set such variables too (Kubernetes does for a service named modeld).
    """

    settings: Settings
    origins: Mapping[str, str]
    warnings: tuple[str, ...] = ()


def resolve(
    flags: Mapping[str, object], environ: Mapping[str, str], config: str | None = None
) -> Resolved:
    """Return the settings, from the flags given, the environment and the file ``config``.

    A variable that is empty counts as unset. ``flags`` maps setting names to values for those
    that were given on the command line. Where ``config`` is ``None``, ``MODELD_CONFIG`` names the
    file.

    Raises:
        ConfigurationError: a value is unknown, of the wrong type or out of range; it says where
            it came from and what was expected.
    """
    config = config or environ.get(ENV_PREFIX + "CONFIG") or None
    values: dict[str, object] = {}
    origins = dict.fromkeys(_BY_NAME, "default")
    if config is not None:
        for name, value in _known(config, read_file(config)).items():
            row = _BY_ANY_NAME[name]
            values[row.name] = convert(row, value, f"{config}: {name}")
            origins[row.name] = f"file {config}"
    for row in TABLE:
        for variable in _given_variables(row, environ):
            values[row.name] = from_text(row, environ[variable], variable)
            origins[row.name] = f"environment {variable}"
    for name, value in flags.items():
        row = _BY_NAME[name]
        values[name] = (
            from_text(row, value, row.flag)
            if isinstance(value, str)
            else convert(row, value, row.flag)
        )
        origins[name] = f"flag {row.flag}"
    settings = Settings(**values)  # type: ignore[arg-type]  # each value was converted to its row's type
    _check_margin(settings)
    return Resolved(settings=settings, origins=origins, warnings=_unknown_variables(environ))


def _check_margin(settings: Settings) -> None:
    if settings.budget_bytes is not None and settings.margin_bytes >= settings.budget_bytes:
        raise ConfigurationError(
            f"memory_margin_mb ({settings.memory_margin_mb}) leaves nothing of memory_budget_mb"
            f" ({settings.memory_budget_mb}); make the margin smaller than the budget",
            field="memory_margin_mb",
        )


def _known(config: str, data: dict[Any, Any]) -> dict[str, object]:
    for name in data:
        if name not in _BY_ANY_NAME:
            hint = nearest(str(name), list(_BY_NAME))
            raise ConfigurationError(f"{config}: unknown key {str(name)!r}{hint}", field=str(name))
    for row in TABLE:
        if row.former and set(row.names) <= set(data):
            raise _twice(config, *row.names)
    return data


def _given_variables(row: Setting, environ: Mapping[str, str]) -> list[str]:
    """Return the variables that set it: none or one.

    Raises:
        ConfigurationError: both of its names are set.
    """
    given = [variable for name in row.names if environ.get(variable := variable_of(name))]
    if len(given) > 1:
        raise _twice("environment", *given)
    return given


def _twice(where: str, name: str, former: str) -> ConfigurationError:
    return ConfigurationError(
        f"{where}: {former} is another name of {name}; set one of them", field=name
    )


def _unknown_variables(environ: Mapping[str, str]) -> tuple[str, ...]:
    known = [variable_of(name) for name in _BY_ANY_NAME] + [
        ENV_PREFIX + name for name in _OTHER_VARIABLES
    ]
    return tuple(
        f"environment: {name} is no setting and is ignored{nearest(name, known)}"
        for name in sorted(environ)
        if name.startswith(ENV_PREFIX) and name not in known
    )
