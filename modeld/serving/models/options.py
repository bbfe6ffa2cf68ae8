# SPDX-License-Identifier: GPL-3.0-only
"""Per-model options from the settings: which rows match a model, and whether its backend agrees."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import lru_cache

import msgspec

from modeld.errors import ConfigurationError, LoadFailedError
from modeld.expectation import misfit, nearest
from modeld.interfaces import Backend
from modeld.plugin_guard import PluginFault, called
from modeld.settings import ModelOptions
from modeld.values import JsonValue, Options


def options_for(model: str, rows: ModelOptions, backend: Backend) -> Options:
    """Return the options of one model: all rows whose id or glob matches, later ones winning.

    Raises:
        ConfigurationError: an option is unknown to the backend, or its value is wrong; it names
            the row, the option and what was expected.
        LoadFailedError: the backend's own type of options cannot be used.
    """
    what = f"backend {backend.name!r}: options_type"
    try:
        return called(what, lambda: _options_for(model, rows, backend))
    except PluginFault as exc:
        raise LoadFailedError(f"{model!r} cannot be used: {exc}") from exc


def _options_for(model: str, rows: ModelOptions, backend: Backend) -> Options:
    merged: dict[str, JsonValue] = {}
    for pattern, row in rows.items():
        if fnmatchcase(model, pattern):
            _check(pattern, row, backend)
            merged |= row
    for name in _required(backend) - merged.keys():
        raise ConfigurationError(
            f"models, for {model!r}: backend {backend.name!r} needs the option {name!r}",
            field="models",
        )
    try:
        return msgspec.convert(merged, backend.options_type)
    except msgspec.ValidationError as exc:
        raise ConfigurationError(f"models, for {model!r}: {exc}", field="models") from exc


@lru_cache(maxsize=64)
def _fields(options_type: type[Options]) -> Mapping[str, msgspec.structs.FieldInfo]:
    """Return a backend's options by name; to read them takes a millisecond, for every model."""
    return {field.encode_name: field for field in msgspec.structs.fields(options_type)}


def _required(backend: Backend) -> set[str]:
    return {name for name, field in _fields(backend.options_type).items() if field.required}


def _check(pattern: str, row: Mapping[str, JsonValue], backend: Backend) -> None:
    """Look at each option alone. What a backend checks of its own is in its own words."""
    fields = _fields(backend.options_type)
    for name, value in row.items():
        where = f"models[{pattern!r}].{name}"
        field = fields.get(name)
        if field is None:
            advice = nearest(name, list(fields)) or f"; it has {', '.join(sorted(fields))}"
            raise ConfigurationError(
                f"{where}: backend {backend.name!r} has no such option{advice}", field="models"
            )
        if wrong := misfit(field.type, value, where):
            raise ConfigurationError(wrong, field="models")
        if _required(backend) - {name}:
            continue  # it cannot be tried without them
        try:
            msgspec.convert({name: value}, backend.options_type)
        except msgspec.ValidationError as exc:
            raise ConfigurationError(f"{where}: {exc}", field="models") from exc
