# SPDX-License-Identifier: GPL-3.0-only
"""The options of one model, from its source and the settings, as its backend agrees to them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import msgspec
from msgspec.structs import replace

from modeld.errors import ConfigurationError, InvalidModelError, LoadFailedError
from modeld.expectation import misfit, nearest
from modeld.interfaces import Backend
from modeld.plugins.guard import PluginFault, called
from modeld.serving.models.sampling_defaults import check_sampling
from modeld.settings import Settings
from modeld.settings.model_rows import GIVEN, SERVING, Layer, layers_of
from modeld.values import ModelSpec, Options


def options_of(spec: ModelSpec, settings: Settings, backend: Backend) -> Options:
    """Return the options of a model: those that its source gives, and over them the settings'.

    Raises:
        ConfigurationError: an option is unknown to the backend, or its value is wrong; it names
            the row, the option and what was expected.
        InvalidModelError: its source gives an option that is unknown to the backend, or wrong.
        LoadFailedError: the backend's own type of options cannot be used.
    """
    if wrong := fault_of_given(spec, backend):
        raise InvalidModelError(f"model {spec.id!r} cannot be used: {wrong}", field="model")
    what = f"backend {backend.name!r}: options_type"
    try:
        return called(what, lambda: _options_of(spec, settings, backend))
    except PluginFault as exc:
        raise LoadFailedError(f"{spec.id!r} cannot be used: {exc}") from exc


KEPT_WHEN_CHANGED: Final = ("max_idle_s", "priority")
"""Options that no load goes by, so that a model in memory goes on with other values of them."""


def is_loaded_alike(one: Options, other: Options) -> bool:
    """Return whether a model that is loaded with one of these would be the same with the other."""
    same = {name: getattr(other, name) for name in KEPT_WHEN_CHANGED}
    return type(one) is type(other) and replace(one, **same) == other


def fault_of_given(spec: ModelSpec, backend: Backend) -> str | None:
    """Return what is wrong with the options that a model's source gives, if anything is."""
    if not spec.options:
        return None
    given = next(layers_of(spec, Settings()))
    try:
        called(given.where, lambda: _check(given, backend))
    except ConfigurationError as exc:
        return exc.message
    except PluginFault:  # it is the backend's, and told where the options are made
        return None
    return None


def _options_of(spec: ModelSpec, settings: Settings, backend: Backend) -> Options:
    merged: dict[str, object] = {}
    for layer in layers_of(spec, settings):
        if not layer.is_given:  # those are the source's fault, and looked at by themselves
            _check(layer, backend)
        merged |= {name: value for name, value in layer.options.items() if name not in SERVING}
    where = f"presets, for {spec.id!r}" if spec.preset_of else f"models, for {spec.id!r}"
    for name in _required(backend.options_type) - merged.keys():
        raise ConfigurationError(
            f"{where}: backend {backend.name!r} needs the option {name!r}", field="models"
        )
    try:
        return msgspec.convert(merged, backend.options_type)
    except msgspec.ValidationError as exc:
        raise ConfigurationError(f"{where}: {exc}", field="models") from exc


@lru_cache(maxsize=64)
def _fields(options_type: type[Options]) -> Mapping[str, msgspec.structs.FieldInfo]:
    """Return a backend's options by name; to read them takes a millisecond, for every model."""
    return {field.encode_name: field for field in msgspec.structs.fields(options_type)}


@lru_cache(maxsize=64)
def _required(options_type: type[Options]) -> frozenset[str]:
    return frozenset(name for name, field in _fields(options_type).items() if field.required)


def _check(layer: Layer, backend: Backend) -> None:
    """Look at each option alone. What a backend checks of its own is in its own words."""
    own = {GIVEN: SERVING[GIVEN]} if layer.is_given else SERVING
    fields = {**_fields(backend.options_type), **own}
    for name, value in layer.options.items():
        where = f"{layer.where}.{name}"
        field = fields.get(name)
        if field is None:
            advice = nearest(name, list(fields)) or f"; it has {', '.join(sorted(fields))}"
            raise ConfigurationError(
                f"{where}: backend {backend.name!r} has no such option{advice}", field="models"
            )
        if wrong := misfit(field.type, value, where):
            raise ConfigurationError(wrong, field="models")
        if name == GIVEN:
            check_sampling(where, value, backend)
        if name in SERVING or _required(backend.options_type) - {name}:
            continue  # the others cannot be tried without what is required
        try:
            msgspec.convert({name: value}, backend.options_type)
        except msgspec.ValidationError as exc:
            raise ConfigurationError(f"{where}: {exc}", field="models") from exc
