# SPDX-License-Identifier: GPL-3.0-only
"""Checks what the settings say of models against the models that were found."""

from __future__ import annotations

import asyncio
import logging
from fnmatch import fnmatchcase
from functools import partial

from modeld.device_bytes import DeviceBytes
from modeld.errors import (
    BackendUnavailableError,
    InvalidModelError,
    LoadFailedError,
    ModelNotFoundError,
)
from modeld.hosting.daemon_threads import submit
from modeld.interfaces import Backend
from modeld.plugins.host import PluginHost
from modeld.serving.entry_maker import in_time
from modeld.serving.models.estimate import estimate
from modeld.serving.models.fit_trials import first_that_fits, trials_of
from modeld.serving.models.options import options_of
from modeld.serving.models.registry import Registry
from modeld.serving.pins import Pins, check_pins
from modeld.serving.state.budget import Ledger
from modeld.settings import Settings
from modeld.values import ModelSpec, Options

log = logging.getLogger("modeld.service")


class SettingsCheck:
    """Finds what settings say that is wrong of a model in ``registry``, or of none there."""

    def __init__(self, plugins: PluginHost, registry: Registry, ledger: Ledger) -> None:
        self._plugins = plugins
        self._registry = registry
        self._ledger = ledger

    async def check(self, settings: Settings) -> None:
        """Check the options of all models; where a disk does not answer, each when it is used.

        Raises:
            ConfigurationError: an option in the settings is wrong for a model that was found.
        """
        checking = asyncio.wrap_future(submit(partial(self._check_options, settings)))
        try:
            if await in_time(checking):
                checking.result()
                return
        finally:
            checking.cancel()  # what it says later nobody hears
        log.error(
            "the options of the models name a file that does not answer; each model's are checked"
            " when it is used"
        )

    def tell(self, settings: Settings) -> None:
        """Log what was found, and what the settings name that was not. It may take long."""
        specs = self._registry.specs()
        usable = [spec.id for spec in specs if spec.problem is None]
        level = logging.INFO if usable else logging.WARNING
        log.log(level, "%d models found, %d of them usable", len(specs), len(usable))
        models = [spec.id for spec in specs if not spec.preset_of]
        for pattern in settings.models:
            if not any(fnmatchcase(model, pattern) for model in models):
                log.warning(
                    "models[%r] in the settings matches none of the models found%s",
                    pattern,
                    self._registry.nearest(pattern),
                )
        for name in settings.presets:
            if problem := self._registry.listed(name).problem:
                log.warning("the preset %r cannot be used: %s", name, problem)
        default = settings.default_model
        if default and default not in settings.presets:
            self._tell_of_default(default)

    def _tell_of_default(self, default: str) -> None:
        try:
            found = self._registry.known(default).problem is not None
        except ModelNotFoundError:
            found = False
        else:
            if not found:
                return
        log.warning(
            "default_model %r %s%s; requests that name no model are refused",
            default,
            "cannot be used" if found else "is not among the models found",
            self._registry.nearest(default),
        )

    def _check_options(self, settings: Settings) -> None:
        needs: dict[str, DeviceBytes] = {}
        pinned = Pins(settings, self._registry.specs).wanted()
        for spec in self._registry.specs():
            if spec.problem is None and self._plugins.backends:
                try:
                    backend = self._plugins.choose_backend(spec, settings)
                except BackendUnavailableError:
                    continue
                try:
                    options = options_of(spec, settings, backend)
                    if spec.id in pinned:
                        needs[spec.id] = self._least(backend, spec, options, settings)
                except LoadFailedError as exc:  # the backend's fault, and no setting's
                    self._plugins.faults.note("backend", backend.name, exc.message, exc)
                except InvalidModelError:  # its source's fault, which the model's problem tells
                    continue
        check_pins(needs, self._ledger)

    def _least(
        self, backend: Backend, spec: ModelSpec, options: Options, settings: Settings
    ) -> DeviceBytes:
        """Return what a model is estimated to need as it would be loaded."""
        need, most = estimate(backend, spec, options), self._ledger.ever
        if need.fits_within(most):
            return need
        trials = trials_of(backend, spec, options, settings, need.within(most))
        fitted = first_that_fits(trials, most)
        return need if fitted is None else fitted.estimated
