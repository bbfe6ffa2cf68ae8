# SPDX-License-Identifier: GPL-3.0-only
"""The objects that a plugin brings, each with the contract that checks it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import click
import msgspec

from modeld import ModelService, ModelSpec, create_app
from modeld.errors import ConfigurationError, InvalidModelError
from modeld.expectation import nearest
from modeld.hosting.daemon_threads import in_daemon_loop
from modeld.interfaces import Backend, PluginKind, RegistrySource
from modeld.plugins.contributions import DIALECTS_HOOK, ROUTES_HOOK
from modeld.plugins.guard import PluginFault, described, guarded
from modeld.plugins.host import PluginHost
from modeld.plugins.installed_plugin import GROUP
from modeld.serving.models.options import options_of
from modeld.serving.models.source_list import models_of
from modeld.settings import Settings
from modeld.testing.backend.contract import BackendContract
from modeld.testing.contract import Contract
from modeld.testing.contracts.dialect import DialectContract
from modeld.testing.contracts.formatter import FormatterContract
from modeld.testing.contracts.observer import ObserverContract
from modeld.testing.contracts.policy import EvictionPolicyContract
from modeld.testing.contracts.routes import RoutesContract
from modeld.testing.contracts.service import ServiceContract
from modeld.testing.contracts.source import SourceContract
from modeld.values import PluginStatus

SERVICE_HOOK = "modeld_build_service"

log = logging.getLogger("modeld.plugins")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One thing that a plugin brings, or several that are checked together."""

    name: str
    contract: Contract

    @property
    def runs_code_of_runtimes(self) -> bool:
        """Return whether what it runs may be native code, which can end the process."""
        return isinstance(self.contract, BackendContract) and self.contract.model is not None


def subjects_of(
    plugin: str, settings: Settings, model: Path | None, prompt: str | None
) -> list[Subject]:
    """Return what an installed plugin brings.

    Raises:
        click.UsageError: there is no such plugin, or the model is none that can be loaded.
    """
    status_of(plugin, settings)
    host = PluginHost.discover(settings)
    spec = None if model is None else _spec_of(model, host)
    found = [*_things(plugin, host, spec), *_of_application(plugin, settings, spec)]
    for subject in found:
        if prompt is not None and "prompt" in subject.contract.subjects:
            _with(subject.contract, prompt=prompt)
    return found


def status_of(plugin: str, settings: Settings) -> PluginStatus:
    """Return what became of an installed plugin, its dialects too.

    Raises:
        click.UsageError: there is none of this name.
    """
    host = PluginHost.discover(settings)
    host.dialects()
    statuses = {status.name: status for status in host.statuses()}
    if plugin not in statuses:
        raise click.UsageError(
            f"no plugin {plugin!r} is installed{nearest(plugin, list(statuses))};"
            " `modeld plugins` lists all"
        )
    return statuses[plugin]


def _things(plugin: str, host: PluginHost, spec: ModelSpec | None) -> Iterator[Subject]:
    """Yield what is asked for when plugins are found."""
    makers: dict[PluginKind, tuple[Mapping[str, Any], Callable[[Any], Contract]]] = {
        "backend": (host.backends, lambda each: _of_backend(each, host, spec)),
        "source": (host.sources, lambda each: _with(SourceContract(), source=each)),
        "eviction policy": (
            host.eviction_policies,
            lambda each: _with(EvictionPolicyContract(), policy=each),
        ),
        "formatter": (host.formatters, lambda each: _with(FormatterContract(), formatter=each)),
        "observer": (host.observers, lambda each: _with(ObserverContract(), observer=each)),
    }
    for kind, (found, make) in makers.items():
        for name, thing in found.items():
            if host.owner_of(kind, name) == plugin:
                yield Subject(name=f"{kind} {name}", contract=make(thing))


def _with(contract: Contract, **subjects: object) -> Contract:
    """Return the contract with what it is to check."""
    for name, subject in subjects.items():
        setattr(contract, name, subject)
    return contract


def _of_application(plugin: str, settings: Settings, spec: ModelSpec | None) -> Iterator[Subject]:
    """Yield what is asked for when an application is assembled."""
    implementation = _implementation(plugin, settings.plugin_timeout_s)
    if hasattr(implementation, ROUTES_HOOK):
        yield Subject(name="routes", contract=_with(RoutesContract(), plugin=implementation))
    if hasattr(implementation, DIALECTS_HOOK):
        yield Subject(name="dialects", contract=_with(DialectContract(), plugin=implementation))
    if hasattr(implementation, SERVICE_HOOK) and spec is not None:
        service = _InstalledService(lambda: create_app(settings).service)
        service.model = spec.id
        yield Subject(name="service", contract=service)


class _InstalledService(ServiceContract):
    """The service that the installed plugins make together."""

    def __init__(self, make: Callable[[], ModelService]) -> None:
        self._make = make

    def make_service(self) -> ModelService:
        """Return a service that was not started."""
        return self._make()


def _implementation(plugin: str, limit_s: float) -> object:
    """Return what the entry point names, or nothing where it cannot be imported."""
    (entry,) = entry_points(group=GROUP, name=plugin)
    try:
        return guarded("import", entry.load, limit_s)
    except PluginFault:  # its status says so
        return None


def _of_backend(backend: Backend, host: PluginHost, spec: ModelSpec | None) -> Contract:
    found = BackendContract()
    found.backend, found.model = backend, spec
    if spec is not None:
        try:
            options = options_of(spec, host.settings, backend)
        except (ConfigurationError, InvalidModelError) as exc:
            raise click.UsageError(exc.message) from exc
        found.options = msgspec.to_builtins(options)
    return found


def _spec_of(model: Path, host: PluginHost) -> ModelSpec:
    """Return the model as the sources describe the file.

    Raises:
        click.UsageError: no source finds it, or it cannot be used.
    """
    path = model.expanduser().resolve()
    if not path.exists():
        raise click.UsageError(f"--model: there is no {model}")
    for name, source in host.sources.items():
        for spec in _listed(name, source, host.settings.source_timeout_s):
            if Path(spec.path).resolve() == path:
                if spec.problem is not None:
                    raise click.UsageError(f"--model: {model} cannot be used: {spec.problem}")
                return spec
    raise click.UsageError(f"--model: no installed source takes {model} for a model")


def _listed(name: str, source: RegistrySource, limit_s: float) -> Sequence[ModelSpec]:
    """Return the models of a source, or none where it fails or takes too long, which is logged."""
    try:
        return asyncio.run(asyncio.wait_for(in_daemon_loop(lambda: models_of(source)), limit_s))
    except TimeoutError:
        log.warning("source %r took longer than %g s; it is left out", name, limit_s)
    except Exception as exc:  # noqa: BLE001  (whatever a plugin raises; `models_of` sees to exits)
        log.warning("source %r cannot be asked and is left out: %s", name, described(exc))
    return ()
