# SPDX-License-Identifier: GPL-3.0-only
"""All models that were found, who would load them, and what each of them needs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from modeld.errors import InternalError, ModeldError
from modeld.hosting.host import Hosting
from modeld.interfaces import Backend
from modeld.plugins import PluginHost
from modeld.serving.need import Need
from modeld.serving.options import options_for
from modeld.serving.registry import Registry
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
    need_bytes: int
    is_measured: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """What the sources have listed. ``refusals`` says why a usable file cannot be loaded here.

    ``hidden`` has the ids that a second source has listed too, with that source's name.
    """

    specs: Sequence[ModelSpec] = ()
    source_errors: Sequence[str] = ()
    hidden: Mapping[str, str] = field(default_factory=dict)
    loadable: Mapping[str, Loadable] = field(default_factory=dict)
    refusals: Mapping[str, ModeldError] = field(default_factory=dict)

    @property
    def by_size(self) -> Sequence[Loadable]:
        """What can be loaded, the smallest first."""
        return sorted(self.loadable.values(), key=lambda each: (each.need_bytes, each.spec.id))


async def read(settings: Settings, plugins: PluginHost) -> Catalogue:
    """Ask all sources, and all backends what the models need. Loads nothing."""
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
    for model in sorted(specs):
        if specs[model].problem is None and plugins.backends:
            try:
                loadable[model] = _loadable(specs[model], settings, plugins)
            except ModeldError as exc:
                refusals[model] = exc
            except Exception as exc:  # noqa: BLE001  (a backend's fault with one model is one finding)
                refusals[model] = InternalError(f"its backend has failed: {exc!r}")
    return Catalogue(
        specs=[specs[model] for model in sorted(specs)],
        source_errors=errors,
        hidden=hidden,
        loadable=loadable,
        refusals=refusals,
    )


async def measure(catalogue: Catalogue, limit_bytes: int | None, hosting: Hosting) -> Catalogue:
    """The same with dry runs in place of the estimates where these leave open what fits.

    That is where the server would make one too. A dry run that fails leaves the estimate.
    """
    if limit_bytes is None:
        return catalogue
    loadable = dict(catalogue.loadable)
    try:
        async with asyncio.timeout(MEASURED_S):
            for model, each in catalogue.loadable.items():
                need = Need(each.need_bytes, is_measurable=True)
                if need.is_open(limit_bytes, now_s=0.0):
                    loadable[model] = await _measured(each, hosting)
    except TimeoutError:
        pass
    return replace(catalogue, loadable=loadable)


def _loadable(spec: ModelSpec, settings: Settings, plugins: PluginHost) -> Loadable:
    backend = plugins.choose_backend(spec)
    options = options_for(spec.id, settings.models, backend)
    need = backend.estimate(spec, options).total_bytes
    return Loadable(spec=spec, backend=backend, options=options, need_bytes=need)


async def _measured(each: Loadable, hosting: Hosting) -> Loadable:
    host = hosting.engine_host(lambda _fraction: None)
    try:
        made = await each.backend.measure(each.spec, each.options, host)
    except Exception:  # noqa: BLE001  (the estimate is there; the server does the same)
        return each
    if made is None:
        return each
    return replace(each, need_bytes=made.total_bytes, is_measured=True)
