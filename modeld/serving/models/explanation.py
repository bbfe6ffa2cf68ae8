# SPDX-License-Identifier: GPL-3.0-only
"""What the options of one model are, and where each value comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from modeld.errors import InvalidModelError
from modeld.interfaces import Backend
from modeld.plugins.host import PluginHost
from modeld.serving.models.options import options_of
from modeld.settings import Settings
from modeld.settings.model_rows import GIVEN, SERVING, layers_of, serving_options_of
from modeld.values import JsonValue, ModelSpec, Value

_DEFAULT = "default"


class Effective(Value, frozen=True, kw_only=True):
    """One option as it holds for a model. ``origin`` is a row, a source, or ``default``."""

    option: str
    value: JsonValue
    origin: str


def explained(spec: ModelSpec, settings: Settings, plugins: PluginHost) -> Sequence[Effective]:
    """Return all options of a model: its backend's, modeld's own, and each sampling default.

    Raises:
        ModeldError: it cannot be used, no backend loads it, or one of its options is wrong.
    """
    if spec.problem is not None:
        raise InvalidModelError(f"model {spec.id!r} cannot be used: {spec.problem}")
    backend = plugins.choose_backend(spec)
    return tuple(_effective(spec, settings, backend))


def _effective(spec: ModelSpec, settings: Settings, backend: Backend) -> Iterator[Effective]:
    options: Mapping[str, Any] = msgspec.to_builtins(options_of(spec, settings, backend))
    own: Mapping[str, Any] = msgspec.to_builtins(serving_options_of(spec, settings))
    origins = _origins(spec, settings)
    for name, value in options.items():
        if name == "max_idle_s" and value is None:
            yield Effective(option=name, value=settings.max_idle_s, origin="setting max_idle_s")
        elif name == "backend":
            where = origins.get(name, "choice of the plugins")
            yield Effective(option=name, value=backend.name, origin=where)
        else:
            yield Effective(option=name, value=value, origin=origins.get(name, _DEFAULT))
    for name in SERVING:
        if name != GIVEN:
            # A preset has no aliases, pin and preload but its own, whatever is said for its model.
            is_default = own[name] == SERVING[name].default
            origin = _DEFAULT if is_default else origins.get(name, _DEFAULT)
            yield Effective(option=name, value=own[name], origin=origin)
    for name, value in own[GIVEN].items():
        option = f"{GIVEN}.{name}"
        yield Effective(option=option, value=value, origin=origins[option])


def _origins(spec: ModelSpec, settings: Settings) -> Mapping[str, str]:
    """Return where the value of each option comes from that is not left at its default."""
    origins: dict[str, str] = {}
    for layer in layers_of(spec, settings):
        for name, value in layer.options.items():
            inside = [f"{GIVEN}.{each}" for each in value] if name == GIVEN else [name]
            origins |= dict.fromkeys(inside, layer.where)
    return origins
