# SPDX-License-Identifier: GPL-3.0-only
"""One setting: its names, its values in words, and how they are read from text and from files."""

from __future__ import annotations

import math
from typing import Any, Final, get_origin

import msgspec

from modeld.errors import ConfigurationError
from modeld.expectation import expected, json_fault, number, shown, twice_in_json
from modeld.sizes import size_of
from modeld.values import Value

ENV_PREFIX: Final = "MODELD_"

_UNITS: Final = {"_mb": 1 << 20, "_bytes": 1}
_EXAMPLES: Final = {1 << 20: "8GiB", 1: "512KiB"}
_OPTIONS_OF_ONE: Final = 'a table of options such as {"context": 4096}'
_OPTIONS_OF_ALL: Final = (
    'a table of options for each model such as {"tiny.gguf": {"context": 4096}}'
)


class Setting(Value, frozen=True, kw_only=True):
    """One row of the table. ``type`` is without its annotations; ``choices`` may be empty.

    ``former`` is a second name, which works wherever ``name`` does, or empty.
    """

    name: str
    type: Any
    annotated: Any
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    former: str = ""

    @property
    def flag(self) -> str:
        """The command-line flag."""
        return flag_of(self.name)

    @property
    def variable(self) -> str:
        """The environment variable."""
        return variable_of(self.name)

    @property
    def names(self) -> tuple[str, ...]:
        """All names, the current one first."""
        return (self.name, self.former) if self.former else (self.name,)

    @property
    def unit_bytes(self) -> int:
        """What a size is counted in; 0 for what is no size."""
        return next((size for end, size in _UNITS.items() if self.name.endswith(end)), 0)

    @property
    def expected(self) -> str:
        """What its values are, with an example where that helps."""
        example = default_text(self)
        if self.unit_bytes:
            noun = "a whole number of bytes" if self.unit_bytes == 1 else "a whole number of MiB"
            said = number(noun, self.annotated.__metadata__[0])
            return f"{said}, or a size with its unit such as {_EXAMPLES[self.unit_bytes]}"
        if self.type is float:
            return (
                f"{number('a number of seconds', self.annotated.__metadata__[0])} such as {example}"
            )
        if get_origin(self.type) is tuple:
            return "a list of names, in text with commas between them"
        if get_origin(self.type) is dict:
            return _OPTIONS_OF_ALL
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        return expected(self.annotated)


def flag_of(name: str) -> str:
    """Return the command-line flag of a setting's name."""
    return "--" + name.replace("_", "-")


def variable_of(name: str) -> str:
    """Return the environment variable of a setting's name."""
    return ENV_PREFIX + name.upper()


def default_text(row: Setting) -> str:
    """Return a setting's default value as a person would write it on a command line."""
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


def convert(row: Setting, value: object, where: str) -> object:
    """Return a value as a file or a program has it, converted.

    Raises:
        ConfigurationError: it is none of this setting's; it says what was expected ``where``.
    """
    if value is False and "off" in row.choices:
        value = "off"  # YAML 1.1 reads the bare word as a boolean
    if row.unit_bytes and isinstance(value, str):
        size = size_of(value, row.unit_bytes)
        value = value if size is None else size
    try:
        converted = msgspec.convert(value, row.annotated)
    except msgspec.ValidationError as exc:
        raise _refusal(row, value, where) from exc
    if isinstance(converted, float) and not math.isfinite(converted):
        raise ConfigurationError(f"{where}: expected a finite number, got {value}", field=row.name)
    return converted


def _refusal(row: Setting, value: object, where: str) -> ConfigurationError:
    wanted = row.expected
    if get_origin(row.type) is dict and isinstance(value, dict):
        for name, options in value.items():
            if not isinstance(name, str):
                wanted, value = "ids or patterns of models as keys", name
                break
            if not isinstance(options, dict):
                where, wanted, value = f"{where}[{name!r}]", _OPTIONS_OF_ONE, options
                break
    message = f"{where}: expected {wanted}, got {shown(value)}"
    return ConfigurationError(message, field=row.name)


def from_text(row: Setting, text: str, where: str) -> object:
    """Return a value as a flag or a variable has it, converted.

    Raises:
        ConfigurationError: it is none of this setting's; it says what was expected ``where``.
    """
    kind = get_origin(row.type) or row.type
    if kind is tuple:
        return convert(row, [part.strip() for part in text.split(",") if part.strip()], where)
    if kind is dict:
        try:
            data = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
            said = f"{where}: expected {row.expected}; {json_fault(text, exc)}"
            raise ConfigurationError(said, field=row.name) from exc
        if twice := twice_in_json(text.encode()):
            said = f"{where}: the key {twice[0]!r} stands twice; keep one"
            raise ConfigurationError(said, field=row.name)
        return convert(row, data, where)
    if kind in {bool, int, float}:
        try:
            return convert(row, msgspec.convert(text, kind, strict=False), where)
        except (msgspec.ValidationError, ConfigurationError):
            pass  # the text itself is what is refused, if it is no size
    return convert(row, text, where)
