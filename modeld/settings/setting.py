# SPDX-License-Identifier: GPL-3.0-only
"""One setting: its names, its values in words, and how they are read from text and from files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import reduce
from operator import or_
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Meta, inspect

from modeld.errors import ConfigurationError
from modeld.expectation import (
    expected,
    holds_secret,
    json_fault,
    misfit,
    number,
    shown,
    twice_in_json,
)
from modeld.sizes import size_of
from modeld.values import Value

ENV_PREFIX: Final = "MODELD_"

_UNITS: Final = {"_mb": 1 << 20, "_bytes": 1}
_EXAMPLES: Final = {1 << 20: "8GiB", 1: "512KiB"}
_OPTIONS_OF_ONE: Final = 'a table of options such as {"context": 4096}'
_OPTIONS_OF_ALL: Final = (
    'a table of options for each model such as {"tiny.gguf": {"context": 4096}}'
)
_PRESETS: Final = 'a table for each preset such as {"long": {"model": "tiny", "context": 8192}}'


_SCALARS: Final = (bool, int, float, str)
_NO_NUMBERS: Final = (inspect.NoneType, inspect.LiteralType)


class Setting(Value, frozen=True, kw_only=True):
    """One row of a table. ``type`` is without its annotations; ``choices`` may be empty.

    ``words`` may stand in the place of a number, like ``auto``. ``former`` is a second name, which
    works wherever ``name`` does, or empty. ``joins`` makes a text of a list, where a text may be
    written as one. ``plugin`` is whose table it is, empty for modeld's own.
    """

    name: str
    type: Any
    annotated: Any
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    former: str = ""
    joins: Callable[[Iterable[str]], str] | None = None
    plugin: str = ""

    @property
    def key(self) -> str:
        """Its name among those of all tables: ``max_wait_s``, ``shelf.most``."""
        return f"{self.plugin}.{self.name}" if self.plugin else self.name

    @property
    def flag(self) -> str:
        """Return the command-line flag."""
        return self.flags[0]

    @property
    def flags(self) -> tuple[str, ...]:
        """Return the flags of all names."""
        return tuple(map(flag_of, self._names_anywhere))

    @property
    def variable(self) -> str:
        """Return the environment variable."""
        return self.variables[0]

    @property
    def variables(self) -> tuple[str, ...]:
        """Return the variables of all names."""
        return tuple(map(variable_of, self._names_anywhere))

    @property
    def names(self) -> tuple[str, ...]:
        """Return all names, the current one first."""
        return (self.name, self.former) if self.former else (self.name,)

    @property
    def unit_bytes(self) -> int:
        """Return what a size is counted in; 0 for what is no size."""
        if self.type is not int:
            return 0
        return next((size for end, size in _UNITS.items() if self.name.endswith(end)), 0)

    @property
    def is_list_of_texts(self) -> bool:
        """Return whether a flag or a variable has its values with commas between them."""
        is_list = get_origin(self.type) in {tuple, list}
        return is_list and _bare(get_args(self.type)[0]) is str

    @property
    def is_json(self) -> bool:
        """Return whether a flag or a variable has its value as JSON."""
        return not (self.choices or self.type in _SCALARS or self.is_list_of_texts)

    @property
    def expected(self) -> str:
        """Return what its values are, with an example where that helps."""
        example = default_text(self)
        if self.unit_bytes:
            noun = "a whole number of bytes" if self.unit_bytes == 1 else "a whole number of MiB"
            said = ", ".join((*self.words, number(noun, self._limits)))
            return f"{said}, or a size with its unit such as {_EXAMPLES[self.unit_bytes]}"
        if self.type is float and self.name.endswith("_s"):
            return f"{number('a number of seconds', self._limits)} such as {example}"
        if self.is_list_of_texts:
            return "a list of names, in text with commas between them"
        if get_origin(self.type) is dict and not self.plugin:
            return _PRESETS if self.name == "presets" else _OPTIONS_OF_ALL
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        return expected(self.annotated)

    @property
    def _names_anywhere(self) -> tuple[str, ...]:
        """Return the names with that of the plugin before them."""
        before = f"{self.plugin}_".replace("-", "_") if self.plugin else ""
        return tuple(before + name for name in self.names)

    @property
    def _limits(self) -> Any:
        kind = inspect.type_info(self.annotated)
        kind = kind.type if isinstance(kind, inspect.Metadata) else kind
        if isinstance(kind, inspect.UnionType):
            kind = next(each for each in kind.types if not isinstance(each, _NO_NUMBERS))
        return kind


def rows_of(table: type[msgspec.Struct], plugin: str = "") -> tuple[Setting, ...]:
    """Return the fields of a table, in their order; all have a default."""
    defaults = table()
    return tuple(
        _row(field, getattr(defaults, field.name), plugin)
        for field in msgspec.structs.fields(table)
    )


def _row(field: msgspec.structs.FieldInfo, default: object, plugin: str) -> Setting:
    kind, words = _apart(_bare(field.type))
    metas = [each for each in get_args(field.type)[1:] if isinstance(each, Meta)]
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    return Setting(
        name=field.name,
        type=kind,
        annotated=field.type,
        default=default,
        help=next((each.description for each in metas if each.description), ""),
        choices=choices if all(isinstance(each, str) for each in choices) else (),
        words=words,
        former=_extra(metas, "former", ""),
        joins=_extra(metas, "joins", None),
        plugin=plugin,
    )


def _extra(metas: Iterable[Meta], key: str, missing: Any) -> Any:
    return next((said for each in metas if (said := (each.extra or {}).get(key))), missing)


def _bare(annotation: Any) -> Any:
    """Return a type without its annotations, and without ``None`` if one other is left then."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _bare(arguments[0])
    if origin in {Union, UnionType}:
        others = [each for each in arguments if each is not NoneType]
        return _bare(others[0]) if len(others) == 1 else annotation
    return annotation


def _apart(kind: Any) -> tuple[Any, tuple[str, ...]]:
    """Return a type without the words that may stand in its place, and these words."""
    if get_origin(kind) not in {Union, UnionType}:
        return kind, ()
    words = [each for each in get_args(kind) if get_origin(each) is Literal]
    others = [each for each in get_args(kind) if each not in words]
    if not words or not others:
        return kind, ()
    return _bare(reduce(or_, others)), tuple(word for each in words for word in get_args(each))


def flag_of(name: str) -> str:
    """Return the command-line flag of a setting's name."""
    return "--" + name.replace("_", "-")


def variable_of(name: str) -> str:
    """Return the environment variable of a setting's name."""
    return ENV_PREFIX + name.upper()


def default_text(row: Setting) -> str:
    """Return a setting's default value as a person would write it on a command line."""
    if row.default is None or row.default in ("", (), [], {}):
        return "none"
    match row.default:
        case bool():
            return "on" if row.default else "off"
        case float():
            return f"{row.default:g}"
        case tuple() | list() if row.is_list_of_texts:
            return ",".join(row.default)
        case str() | int():
            return str(row.default)
        case _:
            return msgspec.json.encode(row.default).decode()


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
    if row.joins and isinstance(value, list) and all(isinstance(each, str) for each in value):
        value = row.joins(value)
    if row.words and isinstance(value, dict):
        value = {str(key): each for key, each in value.items()}  # YAML reads a number as one
    try:
        converted = msgspec.convert(value, row.annotated)
    except msgspec.ValidationError as exc:
        raise _refusal(row, value, where) from exc
    if isinstance(converted, float) and not math.isfinite(converted):
        raise ConfigurationError(f"{where}: expected a finite number, got {value}", field=row.key)
    return converted


def _refusal(row: Setting, value: object, where: str) -> ConfigurationError:
    if (row.plugin or row.words) and row.is_json and (said := misfit(row.annotated, value, where)):
        return ConfigurationError(said, field=row.key)
    wanted = row.expected
    if not row.plugin and row.is_json and isinstance(value, dict):
        for name, options in value.items():
            if not isinstance(name, str):
                wanted, value = "ids or patterns of models as keys", name
                break
            if not isinstance(options, dict):
                where, wanted, value = f"{where}[{name!r}]", _OPTIONS_OF_ONE, options
                break
    got = "something else, which is secret" if holds_secret(row.annotated) else shown(value)
    return ConfigurationError(f"{where}: expected {wanted}, got {got}", field=row.key)


def from_text(row: Setting, text: str, where: str) -> object:
    """Return a value as a flag or a variable has it, converted.

    Raises:
        ConfigurationError: it is none of this setting's; it says what was expected ``where``.
    """
    if row.is_list_of_texts:
        return convert(row, [part.strip() for part in text.split(",") if part.strip()], where)
    if row.is_json and text not in row.words:
        try:
            data = msgspec.json.decode(text)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as exc:
            said = f"{where}: expected {row.expected}; {json_fault(text, exc)}"
            raise ConfigurationError(said, field=row.key) from exc
        if twice := twice_in_json(text.encode()):
            said = f"{where}: the key {twice[0]!r} stands twice; keep one"
            raise ConfigurationError(said, field=row.key)
        return convert(row, data, where)
    if row.type in {bool, int, float}:
        try:
            return convert(row, msgspec.convert(text, row.type, strict=False), where)
        except (msgspec.ValidationError, ConfigurationError):
            pass  # the text itself is what is refused, if it is no size
    return convert(row, text, where)
