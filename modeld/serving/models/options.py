# SPDX-License-Identifier: GPL-3.0-only
"""Per-model options from the settings: which rows match a model, and whether its backend agrees."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import lru_cache

import msgspec

from modeld.errors import ConfigurationError, InvalidModelError, LoadFailedError
from modeld.expectation import misfit, nearest
from modeld.interfaces import Backend
from modeld.plugins.guard import PluginFault, called
from modeld.settings import ModelOptions
from modeld.values import JsonValue, ModelSpec, Options


def options_of(spec: ModelSpec, rows: ModelOptions, backend: Backend) -> Options:
    """Return the options of a model: those that its source gives, and over them the settings'.

    Raises:
        ConfigurationError: as :func:`options_for` raises it.
        InvalidModelError: its source gives an option that is unknown to the backend, or wrong.
    """
    if wrong := fault_of_given(spec, backend):
        raise InvalidModelError(f"model {spec.id!r} cannot be used: {wrong}", field="model")
    return options_for(spec.id, rows, backend, spec.options)


def fault_of_given(spec: ModelSpec, backend: Backend) -> str | None:
    """Return what is wrong with the options that a model's source gives, if anything is."""
    within = f"the options of source {spec.source!r}"
    try:
        called(within, lambda: _check(within, spec.options, backend))
    except ConfigurationError as exc:
        return exc.message
    except PluginFault:  # it is the backend's, and told where the options are made
        return None
    return None


def options_for(
    model: str, rows: ModelOptions, backend: Backend, given: Mapping[str, JsonValue] = {}
) -> Options:
    """Return the options of one model: all rows whose id or glob matches, later ones winning.

    ``given`` are those that its source gives, over which all rows win.

    Raises:
        ConfigurationError: an option is unknown to the backend, or its value is wrong; it names
            the row, the option and what was expected.
        LoadFailedError: the backend's own type of options cannot be used.
    """
    what = f"backend {backend.name!r}: options_type"
    try:
        return called(what, lambda: _options_for(model, rows, backend, given))
    except PluginFault as exc:
        raise LoadFailedError(f"{model!r} cannot be used: {exc}") from exc


def _options_for(
    model: str, rows: ModelOptions, backend: Backend, given: Mapping[str, JsonValue]
) -> Options:
    merged = dict(given)
    for pattern, row in rows.items():
        if fnmatchcase(model, pattern):
            _check(f"models[{pattern!r}]", row, backend)
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


def _check(within: str, row: Mapping[str, JsonValue], backend: Backend) -> None:
    """Look at each option alone. What a backend checks of its own is in its own words."""
    fields = _fields(backend.options_type)
    for name, value in row.items():
        where = f"{within}.{name}"
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
