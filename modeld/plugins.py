# SPDX-License-Identifier: GPL-3.0-only
"""Finds the installed plugins and collects what they bring, by kind and name.

A plugin that fails to import, has a misspelt hook, raises, returns the wrong type or hangs is
listed with its reason, and everything else goes on. pluggy is used at assembly only; at run time
there are plain objects in plain dictionaries.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import pluggy

from modeld import hookspecs
from modeld.backend_choice import choose_backend
from modeld.errors import ConfigurationError
from modeld.events import Event
from modeld.interfaces import (
    Backend,
    EvictionPolicy,
    ModelService,
    Observer,
    OutputFormatter,
    PluginKind,
    PublicRoute,
    RegistrySource,
)
from modeld.plugin_guard import PluginFault, expect, guarded
from modeld.settings import Settings, nearest
from modeld.values import ModelSpec, PluginStatus

if TYPE_CHECKING:
    from starlette.middleware import Middleware
    from starlette.routing import BaseRoute

GROUP = "modeld"
"""The entry point group that plugins are found by."""

log = logging.getLogger("modeld.plugins")

T = TypeVar("T")
Contribution: TypeAlias = tuple[PluginKind, str, Any]

_NAMED: Mapping[str, tuple[PluginKind, type]] = {
    "modeld_register_backends": ("backend", Backend),
    "modeld_register_sources": ("source", RegistrySource),
    "modeld_register_eviction_policies": ("eviction policy", EvictionPolicy),
    "modeld_register_formatters": ("formatter", OutputFormatter),
    "modeld_register_observers": ("observer", Observer),
}


class _Plugin:
    """One plugin on its way through discovery."""

    def __init__(self, name: str, distribution: str, version: str) -> None:
        self.name = name
        self.distribution = distribution
        self.version = version
        self.provides: list[str] = []
        self.reason: str | None = None
        self.blocked = False

    def status(self) -> PluginStatus:
        state = "blocked" if self.blocked else "broken" if self.reason else "active"
        return PluginStatus(
            name=self.name,
            distribution=self.distribution,
            version=self.version,
            state=state,  # type: ignore[arg-type]  # one of the three literals above
            provides=tuple(self.provides),
            reason=self.reason,
        )


class PluginHost:
    """The plugins of one application.

    Make it with :meth:`discover`. Two hosts in one process share nothing.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.backends: dict[str, Backend] = {}
        self.sources: dict[str, RegistrySource] = {}
        self.eviction_policies: dict[str, EvictionPolicy] = {}
        self.formatters: dict[str, OutputFormatter] = {}
        self.observers: dict[str, Observer] = {}
        self.middleware: list[Middleware] = []
        self._plugins: dict[str, _Plugin] = {}
        self._owners: dict[tuple[str, str], str] = {}
        self._complained: set[str] = set()
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)

    @classmethod
    def discover(cls, settings: Settings, extra: Mapping[str, object] | None = None) -> PluginHost:
        """Find plugins by entry point, then add ``extra`` (name to module, class or object).

        Raises:
            ConfigurationError: two plugins bring things of one kind and name, or the eviction
                policy that the settings name does not exist.
        """
        host = cls(settings)
        for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
            host._add(entry.name, entry.load, entry)
        for name, plugin in (extra or {}).items():
            host._add(name, functools.partial(_same, plugin), None)
        host._check_policy()
        for name in settings.block_plugins:
            if name not in host._plugins:
                log.warning("block_plugins: there is no plugin %r", name)
        return host

    def statuses(self) -> tuple[PluginStatus, ...]:
        """All plugins found, the broken and blocked ones too, in the order of their names."""
        return tuple(plugin.status() for plugin in self._plugins.values())

    def policy(self) -> EvictionPolicy:
        """The eviction policy that the settings name."""
        return self.eviction_policies[self.settings.eviction_policy]

    def routes(self, service: ModelService) -> list[BaseRoute | PublicRoute]:
        """The plugins' routes for this service. Called once, at assembly."""
        routes: list[BaseRoute | PublicRoute] = []
        for plugin in self._active():
            try:
                found = self._call(plugin, "modeld_register_routes", service=service)
                for route in found:
                    expect(hasattr(_bare(route), "matches"), route, "a Starlette route")
                self._claim(plugin, [("route", _path(route), route) for route in found])
            except PluginFault as fault:
                self._break(plugin, str(fault))
            else:
                routes += found
        return routes

    def choose_backend(self, spec: ModelSpec) -> Backend:
        """The backend that shall load ``spec``.

        Raises:
            BackendUnavailableError: none is installed, or none can load this model.
        """
        return choose_backend(spec, self.backends, self._manager.hook)

    def build_service(self, build_local: Callable[[], ModelService]) -> ModelService:
        """The service that a plugin puts in place of the local one, or the local one.

        Raises:
            ConfigurationError: a plugin's ``modeld_build_service`` raised or returned no service.
        """
        try:
            built = self._within(
                "modeld_build_service", functools.partial(self._build, build_local)
            )
        except PluginFault as fault:
            raise ConfigurationError(str(fault)) from fault
        if built is None:
            return build_local()
        if not isinstance(built, ModelService):
            raise ConfigurationError(f"modeld_build_service returned {built!r}, not a ModelService")
        return built

    def notify(self, event: Event) -> None:
        """Tell every observer. A fault of one is logged once and hurts nobody."""
        for name, observer in self.observers.items():
            try:
                observer.notify(event)
            except Exception:
                if name not in self._complained:
                    self._complained.add(name)
                    log.exception("observer %r failed; it is not reported again", name)

    def _add(self, name: str, load: Callable[[], object], entry: EntryPoint | None) -> None:
        dist = entry.dist if entry is not None else None
        plugin = _Plugin(name, dist.name if dist else "", dist.version if dist else "")
        if name in self._plugins:
            other = self._plugins[name].distribution
            raise ConfigurationError(
                f"two plugins are named {name!r}: one of {other or 'the application'},"
                f" one of {plugin.distribution or 'the application'}; uninstall one"
            )
        self._plugins[name] = plugin
        if name in self.settings.block_plugins:
            plugin.blocked = True
            return
        try:
            self._register(plugin, self._within("import", lambda: _instance(load())))
            self._claim(plugin, self._contributions(plugin))
        except ConfigurationError:
            raise
        except PluginFault as fault:
            self._break(plugin, str(fault))
        except Exception as exc:  # noqa: BLE001  (even the name of what it brings may raise)
            self._break(plugin, f"it raised {type(exc).__name__}: {exc}")

    def _register(self, plugin: _Plugin, implementation: object) -> None:
        self._refuse_unmarked(implementation)
        try:
            self._manager.register(implementation, name=plugin.name)
            self._manager.check_pending()
        except (pluggy.PluginValidationError, ValueError) as exc:
            raise PluginFault(" ".join(str(exc).split())) from exc

    def _refuse_unmarked(self, implementation: object) -> None:
        for name in dir(implementation):
            if (
                hasattr(hookspecs, name)
                and name.startswith(f"{hookspecs.PROJECT}_")
                and (self._manager.parse_hookimpl_opts(implementation, name) is None)
            ):
                raise PluginFault(f"{name} is not marked with @modeld.hookimpl")

    def _contributions(self, plugin: _Plugin) -> list[Contribution]:
        found: list[Contribution] = []
        for hook, (kind, expected) in _NAMED.items():
            for thing in self._call(plugin, hook):
                expect(isinstance(thing, expected), thing, f"a {expected.__name__}")
                name = getattr(thing, "name", None)
                expect(isinstance(name, str) and bool(name), thing, "an object with a name")
                found.append((kind, str(name), thing))
        for number, thing in enumerate(self._call(plugin, "modeld_register_middleware")):
            expect(hasattr(thing, "cls"), thing, "a starlette.middleware.Middleware")
            found.append(("middleware", f"{plugin.name}:{number}:{_name_of(thing.cls)}", thing))
        return found

    def _claim(self, plugin: _Plugin, found: Sequence[Contribution]) -> None:
        """Take over what a plugin brings, all of it or (on a duplicate) an error."""
        for kind, name, thing in found:
            owner = self._owners.setdefault((kind, name), plugin.name)
            if owner != plugin.name or f"{kind} {name}" in plugin.provides:
                raise ConfigurationError(
                    f"two plugins bring a {kind} named {name!r}: {owner!r} and {plugin.name!r};"
                    f" leave one out with --block-plugins {plugin.name}"
                )
            plugin.provides.append(f"{kind} {name}")
            self._store(kind, name, thing)

    def _store(self, kind: PluginKind, name: str, thing: Any) -> None:
        match kind:
            case "backend":
                self.backends[name] = thing
            case "source":
                self.sources[name] = thing
            case "eviction policy":
                self.eviction_policies[name] = thing
            case "formatter":
                self.formatters[name] = thing
            case "observer":
                self.observers[name] = thing
            case "middleware":
                self.middleware.append(thing)
            case "route":
                pass

    def _call(self, plugin: _Plugin, hook: str, **arguments: object) -> list[Any]:
        """One plugin's answer to one hook, within the time limit."""
        others = [other for name, other in self._manager.list_name_plugin() if name != plugin.name]
        caller = self._manager.subset_hook_caller(hook, remove_plugins=others)
        arguments["settings"] = self.settings

        def collect() -> list[Any]:
            answers: list[Any] = []
            for answer in caller(**arguments):
                if isinstance(answer, str) or not isinstance(answer, Iterable):
                    raise PluginFault(f"{hook} returned {answer!r}, not a list")
                answers += answer
            return answers

        return self._within(hook, collect)

    def _build(self, build_local: Callable[[], ModelService]) -> object:
        built: object = self._manager.hook.modeld_build_service(
            settings=self.settings, build_local=build_local
        )
        return built

    def _within(self, what: str, function: Callable[[], T]) -> T:
        return guarded(what, function, self.settings.plugin_timeout_s)

    def _break(self, plugin: _Plugin, reason: str) -> None:
        plugin.reason = reason
        if self._manager.has_plugin(plugin.name):
            self._manager.unregister(name=plugin.name)
        log.warning("plugin %r is left out: %s", plugin.name, reason)

    def _active(self) -> list[_Plugin]:
        return [p for p in self._plugins.values() if p.reason is None and not p.blocked]

    def _check_policy(self) -> None:
        wanted = self.settings.eviction_policy
        known = list(self.eviction_policies)
        if wanted not in known:
            raise ConfigurationError(
                f"eviction_policy: no installed plugin brings {wanted!r};"
                f" there is {', '.join(known) or 'none'}{nearest(wanted, known)}",
                field="eviction_policy",
            )


def _same(plugin: object) -> object:
    return plugin


def _instance(plugin: object) -> object:
    """An entry point may name a class: each application then gets an instance of its own."""
    return plugin() if isinstance(plugin, type) else plugin


def _bare(route: object) -> object:
    return route.route if isinstance(route, PublicRoute) else route


def _path(route: object) -> str:
    route = _bare(route)
    return str(getattr(route, "path", None) or route)


def _name_of(factory: object) -> str:
    return str(getattr(factory, "__name__", type(factory).__name__))
