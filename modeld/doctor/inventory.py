# SPDX-License-Identifier: GPL-3.0-only
"""All models that were found, who would load them, and what each of them needs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from modeld.device_bytes import DeviceBytes
from modeld.errors import InternalError, ModeldError
from modeld.hosting.host import Hosting
from modeld.interfaces import Backend
from modeld.plugins.host import PluginHost
from modeld.serving.models.estimate import estimate, held_of
from modeld.serving.models.fit_trials import first_that_fits, trials_of
from modeld.serving.models.options import options_of
from modeld.serving.models.presets import preset_specs
from modeld.serving.models.registry import Registry
from modeld.serving.state.memory_need import MemoryNeed
from modeld.settings import Settings
from modeld.values import ModelSpec, Options

MEASURED_S: Final = 20.0
"""How long all dry runs together may take; then the estimates count."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loadable:
    """A usable model with its backend, its options and the bytes that it needs."""

    spec: ModelSpec
    backend: Backend
    options: Options
    need: DeviceBytes
    is_measured: bool = False

    @property
    def need_bytes(self) -> int:
        """Return what it needs on all devices together."""
        return self.need.total_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What the sources have listed. ``refusals`` says why a usable file cannot be loaded here.

    ``hidden`` has the ids that a second source has listed too, with that source's name. Where
    nothing ``is_known``, the sources could not be asked, and that nothing is listed means nothing.
    """

    specs: Sequence[ModelSpec] = ()
    presets: Sequence[ModelSpec] = ()
    source_errors: Sequence[str] = ()
    hidden: Mapping[str, str] = field(default_factory=dict)
    loadable: Mapping[str, Loadable] = field(default_factory=dict)
    refusals: Mapping[str, ModeldError] = field(default_factory=dict)
    is_known: bool = True

    @property
    def by_size(self) -> Sequence[Loadable]:
        """Return the models that can be loaded, the smallest first."""
        return sorted(self.loadable.values(), key=lambda each: (each.need_bytes, each.spec.id))


async def read(settings: Settings, plugins: PluginHost) -> Inventory:
    """Ask all sources, and all backends what the models need. Nothing is loaded."""
    specs: dict[str, ModelSpec] = {}
    hidden: dict[str, str] = {}
    errors: list[str] = []
    for source in plugins.sources.values():
        registry = Registry([source])
        await registry.refresh()
        errors += registry.errors.values()
        for spec in registry.specs():
            if specs.setdefault(spec.id, spec) is not spec:
                hidden[spec.id] = source.name
    loadable: dict[str, Loadable] = {}
    refusals: dict[str, ModeldError] = {}
    presets = preset_specs({"": tuple(specs.values())}, settings)
    for spec in (*(specs[model] for model in sorted(specs)), *presets):
        if spec.problem is None and plugins.backends:
            try:
                found = loadable_of(spec, settings, plugins)
            except ModeldError as exc:
                refusals[spec.id] = exc
            except Exception as exc:  # noqa: BLE001  (a backend's fault with one model is one finding)
                refusals[spec.id] = InternalError(f"its backend has failed: {exc!r}")
            else:
                loadable |= {} if spec.preset_of else {spec.id: found}
    return Inventory(
        specs=[specs[model] for model in sorted(specs)],
        presets=presets,
        source_errors=errors,
        hidden=hidden,
        loadable=loadable,
        refusals=refusals,
    )


async def measure(inventory: Inventory, limit: DeviceBytes, hosting: Hosting) -> Inventory:
    """Return the inventory with dry runs in place of estimates that leave open what fits.

    That is where the server would make one too. A dry run that fails leaves the estimate.
    """
    loadable = dict(inventory.loadable)
    try:
        async with asyncio.timeout(MEASURED_S):
            for model, each in inventory.loadable.items():
                need = MemoryNeed(each.need, is_measurable=True)
                if need.is_open(limit, now_s=0.0):
                    loadable[model] = await _measured(each, hosting)
    except TimeoutError:
        pass
    return replace(inventory, loadable=loadable)


def loadable_of(spec: ModelSpec, settings: Settings, plugins: PluginHost) -> Loadable:
    """Return a usable model with what its backend estimates of it.

    Raises:
        ModeldError: no backend loads it, or its options are wrong.
        Exception: whatever the backend raises.
    """
    backend = plugins.choose_backend(spec)
    options = options_of(spec, settings, backend)
    need = estimate(backend, spec, options)
    return Loadable(spec=spec, backend=backend, options=options, need=need)


def less_of(each: Loadable, settings: Settings, most: DeviceBytes) -> str:
    """Return what a model that needs more would go without to fit, as estimated; else nothing."""
    try:
        trials = trials_of(each.backend, each.spec, each.options, settings, each.need.within(most))
    except ModeldError:  # the model's first request tells
        return ""
    fitted = first_that_fits(trials, most)
    return "" if fitted is None else fitted.gives_up


async def _measured(each: Loadable, hosting: Hosting) -> Loadable:
    host = hosting.engine_host(lambda _fraction: None)
    try:
        made = await each.backend.measure(each.spec, each.options, host)
        return (
            each if made is None else replace(each, need=held_of("measure", made), is_measured=True)
        )
    except Exception:  # noqa: BLE001  (the estimate is there; the server does the same)
        return each
    finally:
        await host.aclose()
