# SPDX-License-Identifier: GPL-3.0-only
"""What models can be asked for, and how long it may be, as their backends declare it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from msgspec.structs import replace

from modeld.capabilities import Capability
from modeld.device_bytes import UNLIMITED, DeviceBytes
from modeld.errors import LoadFailedError, ModeldError
from modeld.interfaces import Backend
from modeld.plugins.faults import fault_in
from modeld.plugins.guard import PluginFault, called, shown
from modeld.plugins.host import PluginHost
from modeld.serving.models.estimate import estimate, fit_of
from modeld.serving.models.fit_trials import first_that_fits, trials_of
from modeld.serving.models.model_index import undescribed
from modeld.serving.models.options import fault_of_given, options_of
from modeld.settings import Settings
from modeld.values import Fit, ModelSpec, Options

T = TypeVar("T")

log = logging.getLogger("modeld.registry")


def capabilities(backend: Backend, spec: ModelSpec, options: Options) -> frozenset[Capability]:
    """Return what the backend declares that the model can be asked for, and its source offers.

    Raises:
        ModeldError: as the backend raised it.
        LoadFailedError: it raised something else, or returned nonsense.
    """
    what = f"backend {backend.name!r}: capabilities"

    def declared() -> frozenset[Capability]:
        given = frozenset(backend.capabilities(spec, options))
        unknown: set[object] = {each for each in given if type(each) is not Capability}
        if unknown:
            raise PluginFault(f"{what} returned {shown(unknown)}")
        return given

    found = _sound(what, spec, declared)
    return found if spec.offers is None else found & frozenset(map(Capability, spec.offers))


def context(backend: Backend, spec: ModelSpec, options: Options) -> int | None:
    """Return the most tokens that one request may have, if the backend says it.

    Raises:
        ModeldError: as the backend raised it.
        LoadFailedError: it raised something else, or returned nonsense.
    """
    what = f"backend {backend.name!r}: context"

    def tokens() -> int | None:
        said: object = backend.context(spec, options)
        if said is None or (type(said) is int and said > 0):
            return said
        raise PluginFault(f"{what} returned {shown(said)}")

    return _sound(what, spec, tokens)


def described(
    spec: ModelSpec, *, settings: Settings, plugins: PluginHost, most: DeviceBytes = UNLIMITED
) -> ModelSpec:
    """Return a model as it is listed; nothing is said where its backend or options are wrong.

    ``most`` is what the budget of each device can be at most.
    """
    try:
        backend = plugins.choose_backend(spec)
    except ModeldError as exc:
        log.debug("nothing is said of %r: %s", spec.id, exc)
        return undescribed(spec)
    if wrong := fault_of_given(spec, backend):
        log.warning("model %r cannot be used: %s", spec.id, wrong)
        return undescribed(replace(spec, problem=wrong))
    try:
        options = options_of(spec, settings, backend)
        told = replace(
            spec,
            capabilities=tuple(sorted(capabilities(backend, spec, options))),
            context=context(backend, spec, options),
        )
    except ModeldError as exc:
        if fault_in(exc) is not None:
            plugins.faults.note("backend", backend.name, exc.message, exc)
        log.debug("nothing is said of %r: %s", spec.id, exc)
        return undescribed(spec)
    try:
        return _fitted(told, backend, options, settings, most)
    except ModeldError as exc:
        log.debug("nobody knows what %r needs: %s", spec.id, exc)  # its first request tells
        return replace(told, need_bytes=None, fit=None, short_by_bytes=0, gives_up="")


def _fitted(
    spec: ModelSpec, backend: Backend, options: Options, settings: Settings, most: DeviceBytes
) -> ModelSpec:
    need = estimate(backend, spec, options)
    fit, short_by_bytes, gives_up = fit_of(need, most), need.beyond(most).total_bytes, ""
    if not need.fits_within(most):
        trials = trials_of(backend, spec, options, settings, need.within(most))
        if (fitted := first_that_fits(trials, most)) is not None:
            fit, gives_up, short_by_bytes = Fit.REDUCED, fitted.gives_up, 0
            need = fitted.estimated
            # What clients go by: a context that it never has would be refused half-way.
            spec = replace(spec, context=context(backend, spec, fitted.options))
    return replace(
        spec,
        need_bytes=need.total_bytes,
        fit=fit,
        short_by_bytes=short_by_bytes,
        gives_up=gives_up,
    )


def _sound(what: str, spec: ModelSpec, ask: Callable[[], T]) -> T:
    try:
        return called(what, ask)
    except PluginFault as exc:
        raise LoadFailedError(f"{spec.id!r} cannot be used: {exc}") from exc
