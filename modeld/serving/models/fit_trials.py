# SPDX-License-Identifier: GPL-3.0-only
"""With which smaller options a model may be tried that can never fit as it is configured."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

import msgspec

from modeld.device_bytes import DeviceBytes
from modeld.errors import LoadFailedError
from modeld.interfaces import Backend
from modeld.plugins.guard import PluginFault, called, shown
from modeld.serving.models.estimate import estimate
from modeld.serving.models.options import KEPT_WHEN_CHANGED
from modeld.settings import Settings
from modeld.settings.model_rows import layers_of
from modeld.status import Fitting
from modeld.values import FitStep, ModelSpec, Options, Value

CLEAR_SHARE: Final = 1.25
"""An estimate that fits so many times over, or is so many times too large, leaves nothing open."""

MOST_STEPS: Final = 64
"""So many steps are taken of one backend; each is a measurement, which may take a second."""

OWN: Final = frozenset({"backend", "fit", *KEPT_WHEN_CHANGED})
"""Options that are modeld's, and take no memory."""


class FitTrial(Value, frozen=True, kw_only=True):
    """A model's options after one step and all before it, and what they are estimated to need."""

    step: str
    gives_up: str
    changes: Mapping[str, Any]
    options: Options
    estimated: DeviceBytes

    def receipt(self, full_bytes: int) -> Fitting:
        """Return what the model goes without, which needs ``full_bytes`` as it is configured."""
        return Fitting(
            step=self.step, gives_up=self.gives_up, options=self.changes, full_bytes=full_bytes
        )


def may_fit(options: Options, settings: Settings) -> bool:
    """Return whether a model may be loaded with less than it is configured for."""
    return settings.fit if options.fit is None else options.fit


def fixed_options(spec: ModelSpec, settings: Settings) -> frozenset[str]:
    """Return the options that somebody has set for a model: a row, a preset, or its source."""
    return frozenset(name for layer in layers_of(spec, settings) for name in layer.options)


def trials_of(
    backend: Backend, spec: ModelSpec, options: Options, settings: Settings, most_bytes: int
) -> tuple[FitTrial, ...]:
    """Return the trials of a model that needs more than ``most_bytes``; none where they are off.

    Raises:
        ModeldError: as the backend raised it.
        LoadFailedError: it raised something else, or declared what cannot be done.
    """
    if not may_fit(options, settings):
        return ()
    what = f"backend {backend.name!r}: fit_steps"
    fixed = fixed_options(spec, settings) | OWN

    def declared() -> list[object]:
        return list(islice(backend.fit_steps(spec, options, fixed, most_bytes), MOST_STEPS))

    try:
        steps = [_checked(what, step, fixed) for step in called(what, declared)]
        return tuple(_trials(what, backend, spec, options, steps))
    except PluginFault as exc:
        raise LoadFailedError(f"{spec.id!r} could not be made to fit: {exc}") from exc


def first_that_fits(trials: Iterable[FitTrial], most: DeviceBytes) -> FitTrial | None:
    """Return the first trial that fits as estimated."""
    return next((each for each in trials if each.estimated.fits_within(most)), None)


def _checked(what: str, step: object, fixed: Collection[str]) -> FitStep:
    if not isinstance(step, FitStep) or not step.name.isidentifier():
        raise PluginFault(f"{what} returned {shown(step)}, which is not a FitStep with a name")
    # What somebody has set for the model is the one thing that nobody may take back.
    if wrong := sorted(step.changes.keys() & fixed):
        raise PluginFault(f"{what} changes {wrong[0]!r}, which is fixed")
    return step


def _trials(
    what: str, backend: Backend, spec: ModelSpec, options: Options, steps: Iterable[FitStep]
) -> Iterator[FitTrial]:
    plain: Mapping[str, Any] = msgspec.to_builtins(options)
    changes: dict[str, Any] = {}
    gives_up: dict[str, str] = {}
    for step in steps:
        changes |= step.changes
        gives_up[step.name] = step.gives_up
        with_less = _converted(what, {**plain, **changes}, type(options))
        yield FitTrial(
            step=step.name,
            gives_up="; ".join(gives_up.values()),
            changes=dict(changes),
            options=with_less,
            estimated=estimate(backend, spec, with_less),
        )


def _converted(what: str, plain: Mapping[str, Any], declared: type[Options]) -> Options:
    try:
        return msgspec.convert(plain, declared)
    except msgspec.ValidationError as exc:
        raise PluginFault(f"{what} changes to options that are wrong: {exc}") from exc
