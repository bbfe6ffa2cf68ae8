# SPDX-License-Identifier: GPL-3.0-only
"""Per-model options from the settings: which rows match a model, and whether its backend agrees."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase

import msgspec

from modeld.errors import ConfigurationError
from modeld.interfaces import Backend
from modeld.settings import ModelOptions, nearest
from modeld.values import JsonValue, Options


def options_for(model: str, rows: ModelOptions, backend: Backend) -> Options:
    """The options of one model: all rows whose id or glob matches, later ones winning.

    Raises:
        ConfigurationError: an option is unknown to the backend, or its value is wrong; it names
            the row, the option and what was expected.
    """
    merged: dict[str, JsonValue] = {}
    for pattern, row in rows.items():
        if fnmatchcase(model, pattern):
            _check(pattern, row, backend)
            merged |= row
    try:
        return msgspec.convert(merged, backend.options_type)
    except msgspec.ValidationError as exc:
        raise ConfigurationError(f"models, for {model!r}: {exc}", field="models") from exc


def _check(pattern: str, row: Mapping[str, JsonValue], backend: Backend) -> None:
    known = [field.encode_name for field in msgspec.structs.fields(backend.options_type)]
    for name, value in row.items():
        where = f"models[{pattern!r}].{name}"
        if name not in known:
            advice = nearest(name, known) or f"; it has {', '.join(sorted(known))}"
            raise ConfigurationError(
                f"{where}: backend {backend.name!r} has no such option{advice}", field="models"
            )
        try:
            msgspec.convert({name: value}, backend.options_type)
        except msgspec.ValidationError as exc:
            raise ConfigurationError(f"{where}: {exc}", field="models") from exc
