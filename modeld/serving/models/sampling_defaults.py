# SPDX-License-Identifier: GPL-3.0-only
"""The sampling parameters that a model has for requests which do not set them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import structs

from modeld.errors import ConfigurationError, InvalidRequestError
from modeld.expectation import misfit, nearest
from modeld.interfaces import Backend
from modeld.requests import Sampling
from modeld.sampling import COMMON, parameters_of
from modeld.settings import Settings
from modeld.settings.model_rows import serving_options_of
from modeld.validation import checked_own_sampling
from modeld.values import ModelSpec

_TYPES: Final = {field.name: field.type for field in structs.fields(Sampling)}
_COMMON: Final = {row.name: row for row in COMMON}
_UNSET: Final = Sampling()


class SamplingDefaults:
    """The defaults of models by id, each put together when it is first asked for."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: dict[str, tuple[ModelSpec, Sampling]] = {}

    def applied(self, asked: Sampling, spec: ModelSpec) -> Sampling:
        """Return what a request asks for, with the model's defaults where it asks for nothing."""
        known, defaults = self._known.get(spec.id, (None, _UNSET))
        if known is not spec:
            defaults = _sampling_of(serving_options_of(spec, self._settings).sampling)
            self._known[spec.id] = spec, defaults
        return asked if defaults is _UNSET else _merged(asked, defaults)


def check_sampling(where: str, table: Mapping[str, Any], backend: Backend) -> None:
    """Check a model's table of defaults.

    Raises:
        ConfigurationError: the backend has no such parameter, it cannot be a default, or its value
            is wrong; the message names it.
    """
    own = {row.name for row in parameters_of(backend.sampling_type)}
    for name, value in table.items():
        inside = f"{where}.{name}"
        if name in backend.unserved_sampling:
            raise _wrong(f"{inside}: backend {backend.name!r} does not serve this parameter")
        if name in _COMMON:
            _check_common(inside, name, value)
        elif name in own:
            _check_own(inside, name, value, backend)
        else:
            hint = nearest(name, [*_COMMON, *sorted(own)])
            said = f"backend {backend.name!r} has no such sampling parameter{hint}"
            raise _wrong(f"{inside}: {said}")


def _check_common(where: str, name: str, value: object) -> None:
    row = _COMMON[name]
    if row.default is not None or row.unset is not None:
        why = "no request could take it back, so it is for requests alone"
        raise _wrong(f"{where}: this parameter cannot be a default: {why}")
    if wrong := misfit(_TYPES[name], value, where):
        raise _wrong(wrong)


def _check_own(where: str, name: str, value: object, backend: Backend) -> None:
    try:
        checked_own_sampling(Sampling(own={name: value}), backend.sampling_type)
    except InvalidRequestError as exc:
        raise _wrong(f"{where}: {exc.message.removeprefix(f'{name}: ')}") from exc


def _sampling_of(table: Mapping[str, Any]) -> Sampling:
    if not table:
        return _UNSET
    own = {name: value for name, value in table.items() if name not in _COMMON}
    common = {name: table[name] for name in table.keys() - own.keys()}
    return msgspec.convert(common | {"own": own}, Sampling)


def _merged(asked: Sampling, defaults: Sampling) -> Sampling:
    missing = {
        name: value
        for name in _COMMON
        if getattr(asked, name) == getattr(_UNSET, name)
        and (value := getattr(defaults, name)) != getattr(_UNSET, name)
    }
    return structs.replace(asked, **missing, own={**defaults.own, **asked.own})


def _wrong(message: str) -> ConfigurationError:
    return ConfigurationError(message, field="models")
