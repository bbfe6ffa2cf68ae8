# SPDX-License-Identifier: GPL-3.0-only
"""The settings of a plugin: a table like modeld's own, made from a class of its author."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, TypeAlias, get_args

import msgspec
from msgspec import Meta

from modeld.errors import ConfigurationError
from modeld.expectation import holds_secret
from modeld.settings.setting import Setting, rows_of
from modeld.values import Value

MASK: Final = "***"
"""What stands in place of a secret."""

Secret: TypeAlias = Annotated[str, Meta(extra={"secret": True})]
"""A text that is shown nowhere: neither by ``--show-config`` nor in an error."""

_PLUGIN: Final = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
_FIELD: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


class PluginSettings(Value, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of a plugin's own settings, and of the tables and lists of tables inside them.

    A field's annotation gives its type, range and help text, and its name, behind that of the
    plugin, gives the flag (``--shelf-most``), the variable (``MODELD_SHELF_MOST``) and the key in
    the table ``shelf`` of the file. Each field of the outer class has a default.
    """

    def __repr__(self) -> str:
        """Return it as code would write it, with its secrets masked."""
        values = (f"{name}={value!r}" for name, value in masked(type(self), self).items())
        return f"{type(self).__name__}({', '.join(values)})"


class PluginTable(Value, frozen=True, kw_only=True):
    """The settings of one plugin: the class that it declares, and its rows."""

    plugin: str
    declared: type[PluginSettings]
    rows: tuple[Setting, ...]


class PluginTables(Value, frozen=True, kw_only=True):
    """The settings of all installed plugins.

    ``left_out`` has the plugins that are not in use, with the reason; nobody knows their settings.
    ``without`` has those that take none.
    """

    tables: tuple[PluginTable, ...] = ()
    left_out: Mapping[str, str] = {}
    without: tuple[str, ...] = ()


NO_TABLES: Final = PluginTables()


def table_of(plugin: str, declared: object) -> PluginTable:
    """Return the table that a plugin declares.

    Raises:
        ValueError: it cannot be one; the message says why and what to do.
    """
    if not (isinstance(declared, type) and issubclass(declared, PluginSettings)):
        raise ValueError("they are no subclass of PluginSettings")  # noqa: TRY004  (one kind for all)
    if not _PLUGIN.fullmatch(plugin):
        raise ValueError(f"the plugin's name {plugin!r} is not small letters, digits, - and _")
    fields = msgspec.structs.fields(declared)
    if not fields:
        raise ValueError("they have no fields")
    for field in fields:
        _check_field(field)
    rows = rows_of(declared, plugin)
    for row in rows:
        if not row.help:
            raise ValueError(f"{row.name!r} has no description: Annotated[…, Meta(description=…)]")
        if masked(row.annotated, row.default) != _mapped(row.annotated, row.default, str):
            raise ValueError(f"{row.name!r} has a secret for its default, which all could see")
    msgspec.convert(msgspec.to_builtins(declared()), declared)
    return PluginTable(plugin=plugin, declared=declared, rows=rows)


def masked(annotation: Any, value: object) -> Any:
    """Return ``value``, which is of the type ``annotation``, as plain data without its secrets."""
    return _mapped(annotation, value, lambda text: MASK if text else text)


def refuse_masks(annotation: Any, value: object, where: str) -> None:
    """Refuse a secret that is not the secret, but what ``--show-config`` shows in its place.

    Raises:
        ConfigurationError: there is one.
    """

    def refuse(text: str) -> str:
        if text == MASK:
            raise ConfigurationError(
                f"{where}: {MASK} only stands in place of the secret; write the secret itself, or"
                " leave it out"
            )
        return text

    _mapped(annotation, value, refuse)


def _mapped(annotation: Any, value: object, change: Callable[[str], str]) -> Any:
    match value:
        case msgspec.Struct():
            return {
                field.name: _mapped(field.type, getattr(value, field.name), change)
                for field in msgspec.structs.fields(value)
            }
        case str():
            return change(value) if holds_secret(annotation) else value
        case Mapping():
            return {key: _mapped(annotation, each, change) for key, each in value.items()}
        case list() | tuple():
            return [_mapped(annotation, each, change) for each in value]
        case _:
            return value


def _check_field(field: msgspec.structs.FieldInfo) -> None:
    if not _FIELD.fullmatch(field.name) or field.encode_name != field.name:
        raise ValueError(f"{field.name!r} is not small letters, digits and _")
    if field.required:
        raise ValueError(f"{field.name!r} has no default: to install a plugin must stop no start")
    for struct in _structs_in(field.type, set()):
        if not issubclass(struct, PluginSettings):
            raise ValueError(  # noqa: TRY004  (one kind for all)
                f"{field.name!r} has a {struct.__name__} in it, which is no PluginSettings, so it"
                " would take unknown keys"
            )


def _structs_in(annotation: Any, seen: set[type[msgspec.Struct]]) -> set[type[msgspec.Struct]]:
    """Return the structs of a type at every depth; one may have a list of its own kind."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        if annotation not in seen:
            seen.add(annotation)
            for field in msgspec.structs.fields(annotation):
                _structs_in(field.type, seen)
    else:
        for each in get_args(annotation):
            _structs_in(each, seen)
    return seen
