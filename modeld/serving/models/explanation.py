# SPDX-License-Identifier: GPL-3.0-only
"""What the options of one model are, and where each value comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from modeld.device_bytes import UNLIMITED, DeviceBytes
from modeld.errors import InvalidModelError
from modeld.interfaces import Backend
from modeld.plugins.host import PluginHost
from modeld.serving.models.estimate import estimate
from modeld.serving.models.fit_trials import FitTrial, first_that_fits, trials_of
from modeld.serving.models.options import options_of
from modeld.settings import Settings
from modeld.settings.model_rows import GIVEN, SERVING, layers_of, serving_options_of
from modeld.values import JsonValue, ModelSpec, Options, Value

_DEFAULT = "default"


class Effective(Value, frozen=True, kw_only=True):
    """One option as it holds for a model. ``origin`` is a row, a source, or ``default``."""

    option: str
    value: JsonValue
    origin: str


def explained(
    spec: ModelSpec, settings: Settings, plugins: PluginHost, *, most: DeviceBytes = UNLIMITED
) -> Sequence[Effective]:
    """Return all options of a model: its backend's, modeld's own, and each sampling default.

    Of one that can never fit into ``most`` as it is configured, they are those with which it
    fits, as far as estimates tell.

    Raises:
        ModeldError: it cannot be used, no backend loads it, or one of its options is wrong.
    """
    if spec.problem is not None:
        raise InvalidModelError(f"model {spec.id!r} cannot be used: {spec.problem}")
    backend = plugins.choose_backend(spec)
    options = options_of(spec, settings, backend)
    less = _less(spec, settings, backend, options, most)
    plain = msgspec.to_builtins(options)
    return tuple(
        replace(each, value=less.changes[each.option], origin=_origin_of(plain[each.option]))
        if less is not None and each.option in less.changes
        else each
        for each in _effective(spec, settings, backend, plain)
    )


def _less(
    spec: ModelSpec,
    settings: Settings,
    backend: Backend,
    options: Options,
    most: DeviceBytes,
) -> FitTrial | None:
    """Return with what less the model is estimated to fit, where it would never otherwise."""
    need = estimate(backend, spec, options)
    if need.fits_within(most):
        return None
    return first_that_fits(trials_of(backend, spec, options, settings, need.within(most)), most)


def _origin_of(configured: JsonValue) -> str:
    instead = msgspec.json.encode(configured).decode()
    return f"fit, as estimated, in place of {instead}"


def _effective(
    spec: ModelSpec, settings: Settings, backend: Backend, options: Mapping[str, Any]
) -> Iterator[Effective]:
    own: Mapping[str, Any] = msgspec.to_builtins(serving_options_of(spec, settings))
    origins = _origins(spec, settings)
    for name, value in options.items():
        if name == "max_idle_s" and value is None:
            yield Effective(option=name, value=settings.max_idle_s, origin="setting max_idle_s")
        elif name == "fit" and value is None:
            yield Effective(option=name, value=settings.fit, origin="setting fit")
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
