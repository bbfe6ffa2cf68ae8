# SPDX-License-Identifier: GPL-3.0-only
"""Finds the installed plugins and collects what they bring, by kind and name.

A plugin that fails to import, has a misspelt hook, raises, returns the wrong type or hangs is
listed with its reason, and everything else goes on. Where one of its things can be spared, only
that is left out, and the plugin goes on too.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from modeld.commands import Command
from modeld.errors import ConfigurationError
from modeld.events import Event
from modeld.expectation import nearest
from modeld.hookspecs import PROJECT
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
from modeld.plugins.backend_choice import choose_backend
from modeld.plugins.contributions import (
    COMMANDS_HOOK,
    DISCOVERY_HOOKS,
    Contribution,
    why_taken,
)
from modeld.plugins.faults import PluginFaults
from modeld.plugins.guard import PluginFault, described, shown
from modeld.plugins.guarded_policy import GuardedPolicy
from modeld.plugins.hooks import PluginHooks
from modeld.plugins.installed_plugin import Entry, InstalledPlugin, entries
from modeld.plugins.lifespans import Beside, PluginLifespans
from modeld.plugins.tables import check_distinct, unused
from modeld.sampling import SamplingParameter, merged, parameters_of
from modeld.settings import PluginSettings, Settings
from modeld.values import ModelSpec, PluginStatus

if TYPE_CHECKING:
    from starlette.middleware import Middleware
    from starlette.routing import BaseRoute

    from modeld.dialects import Dialect

FALLBACK_POLICY: Final = "lru"
"""What decides where the policy of the settings is wrong."""

log = logging.getLogger("modeld.plugins")


class PluginHost:
    """The plugins of one application.

    Make it with :meth:`discover`, one for each application: two hosts in one process share nothing.
    ``sampling`` has what the backends declare for requests, beyond what all of them know.
    """

    def __init__(self, settings: Settings, *, is_logged: bool = True) -> None:
        self.settings = settings
        self._is_logged = is_logged
        self.backends: dict[str, Backend] = {}
        self.sources: dict[str, RegistrySource] = {}
        self.eviction_policies: dict[str, EvictionPolicy] = {}
        self.formatters: dict[str, OutputFormatter] = {}
        self.observers: dict[str, Observer] = {}
        self.middleware: list[Middleware] = []
        self.commands: dict[str, Command] = {}
        self.sampling: tuple[SamplingParameter, ...] = ()
        self._plugins: dict[str, InstalledPlugin] = {}
        self._owners: dict[tuple[str, str], str] = {}
        self._is_taken = False
        self.faults = PluginFaults(self._owners)
        self._hooks = PluginHooks(settings)
        self._lifespans = PluginLifespans(settings.plugin_timeout_s)

    @classmethod
    def discover(cls, settings: Settings, extra: Mapping[str, object] | None = None) -> PluginHost:
        """Find plugins by entry point, then add ``extra`` (name to module, class or object).

        Raises:
            ConfigurationError: two plugins bring things of one kind and name, two backends declare
                one sampling parameter with different types, or the eviction policy that the
                settings name does not exist.
        """
        host = cls(settings)
        for entry in entries():
            host._add(entry)
        for name, plugin in (extra or {}).items():
            host._add(Entry(name, "", "", functools.partial(_same, plugin)))
        check_distinct(host._plugins.values())
        host.check_policy(settings)
        host.sampling = host._sampling()
        for name in settings.block_plugins:
            if name not in host._plugins:
                hint = nearest(name, list(host._plugins))
                log.warning("block_plugins: there is no plugin %r%s", name, hint)
        for warning in unused(settings, host._plugins.values()):
            log.warning("%s", warning)
        return host

    @classmethod
    def discover_commands(cls, settings: Settings) -> PluginHost:
        """Find the plugins' commands and nothing else: ``modeld --help`` waits for it.

        The built-in plugins bring none, and some of their libraries take long to import.

        Raises:
            ConfigurationError: two plugins have one name.
        """
        host = cls(settings)
        for entry in entries():
            if not entry.is_own:
                host._add(entry, (COMMANDS_HOOK,))
        return host

    @classmethod
    def discover_sampling(cls, settings: Settings) -> tuple[SamplingParameter, ...]:
        """Return what the backends of other distributions declare; modeld itself brings none.

        For those who need no more: it is quicker, since it leaves the built-in plugins alone. What
        is wrong with a plugin is not logged.

        Raises:
            ConfigurationError: as :meth:`discover` raises it for these plugins.
        """
        host = cls(settings, is_logged=False)
        for entry in entries():
            if not entry.is_own:
                # Nothing else: an observer, say, may start a thread as soon as it is asked for.
                host._add(entry, ("modeld_register_backends",))
        return host._sampling()

    def statuses(self, of_sources: Mapping[str, Sequence[str]] = {}) -> tuple[PluginStatus, ...]:
        """Return all plugins found, broken and blocked ones too, in the order of their names.

        ``of_sources`` has what is not used now of some sources' models, in words.
        """
        notes: dict[str, list[str]] = {}
        for source, words in of_sources.items():
            notes.setdefault(self._owners.get(("source", source), ""), []).extend(words)
        found = (each.status(notes.get(each.name, ())) for each in self._plugins.values())
        return tuple(replace(each, faults=self.faults.of(each.name)) for each in found)

    def policy(self) -> EvictionPolicy:
        """Return the eviction policy that the settings name; where it is wrong, ``lru`` decides."""
        policies = self.eviction_policies
        name = self.settings.eviction_policy
        owner = self._plugins.get(self._owners.get(("eviction policy", name), ""))
        return GuardedPolicy(
            policies[name],
            policies.get(FALLBACK_POLICY),
            self.faults.note,
            is_trusted=owner is not None and owner.distribution == PROJECT,
        )

    def settings_classes(self) -> Mapping[type[PluginSettings], str]:
        """Return the classes of the plugins' settings with the plugins' names."""
        tables = (each.table for each in self._plugins.values())
        return {table.declared: table.plugin for table in tables if table is not None}

    def reconfigure(self, settings: Settings) -> None:
        """Go by other settings from now on, for the policy and the choice of backends.

        Raises:
            ConfigurationError: no plugin brings the policy that they name; nothing has changed.
        """
        self.check_policy(settings)
        self.settings = settings

    def routes(self, service: ModelService) -> list[BaseRoute | PublicRoute]:
        """Return the plugins' routes for this service; called once, at assembly."""
        routes: list[BaseRoute | PublicRoute] = []
        for plugin in self._plugins.values():
            found = plugin.brought_routes(service)
            self._claim(plugin, found)
            routes += [route for _, _, route in found]
        return routes

    def dialects(self) -> list[Dialect]:
        """Return the plugins' wire formats; called once, at assembly.

        Raises:
            ConfigurationError: an application has these plugins already, or two dialects have one
                name.
        """
        if self._is_taken:
            raise ConfigurationError(
                "these plugins serve an application already; make others for the second one:"
                " PluginHost.discover(settings), or leave the argument out"
            )
        self._is_taken = True
        dialects: list[Dialect] = []
        for plugin in self._plugins.values():
            found = plugin.brought_dialects(self.sampling)
            self._claim(plugin, found)
            dialects += [dialect for _, _, dialect in found]
        return dialects

    def choose_backend(self, spec: ModelSpec, settings: Settings | None = None) -> Backend:
        """Return the backend that shall load ``spec``, by other ``settings`` if there are some.

        Raises:
            ConfigurationError: the settings name a backend for it that is not there.
            BackendUnavailableError: none is installed, or none can load this model.
        """
        return choose_backend(
            spec, self.backends, self._hooks.relay, self.faults, settings or self.settings
        )

    def build_service(self, build_local: Callable[[], ModelService]) -> ModelService:
        """Return the service that a plugin puts in place of the local one, or the local one.

        Raises:
            ConfigurationError: a plugin's ``modeld_build_service`` raised or returned no service.
        """
        try:
            built = self._hooks.first(
                "modeld_build_service", build_local=build_local, notify=self.notify
            )
        except PluginFault as fault:
            raise ConfigurationError(str(fault)) from fault
        if built is None:
            return build_local()
        if not isinstance(built, ModelService):
            said = f"modeld_build_service returned {shown(built)}, not a ModelService"
            raise ConfigurationError(said)
        return built

    async def start(self, service: ModelService, beside: Beside) -> bool:
        """Enter the plugins' lifespans, before the first request; a second call does nothing.

        Returns whether this was the first. ``beside`` runs the hooks on a thread.

        Raises:
            ConfigurationError, StartError: as a plugin raised it, which says that none may go on.
        """
        return await self._lifespans.start(self._plugins.values(), service, beside)

    async def aclose(self) -> None:
        """Leave the plugins' lifespans, after the last engine is closed. May be called twice."""
        await self._lifespans.aclose()

    def notify(self, event: Event) -> None:
        """Tell every observer of an event; a faulty one is noted and stops no other."""
        for name, observer in self.observers.items():
            try:
                observer.notify(event)
            except BaseException as exc:  # noqa: BLE001  (a plugin's SystemExit is its fault, not ours)
                message = f"observer {name!r} failed: {described(exc)}"
                self.faults.note("observer", name, message, exc)

    def owner_of(self, kind: PluginKind, name: str) -> str:
        """Return the name of the plugin that has brought something."""
        return self._owners[kind, name]

    def layers(self) -> list[tuple[str, Middleware]]:
        """Return the middleware with its names, the outermost first."""
        names = [name for kind, name in self._owners if kind == "middleware"]
        return list(zip(names, self.middleware, strict=True))

    def _add(self, entry: Entry, hooks: Sequence[str] = DISCOVERY_HOOKS) -> None:
        name, distribution = entry.name, entry.distribution
        plugin = InstalledPlugin(
            name, distribution, entry.version, self._hooks, is_logged=self._is_logged
        )
        if name in self._plugins:
            other = self._plugins[name].distribution
            raise ConfigurationError(
                f"two plugins are named {name!r}: one of {other or 'the application'},"
                f" one of {distribution or 'the application'}; uninstall one"
            )
        self._plugins[name] = plugin
        if name in self.settings.block_plugins:
            plugin.block()
        else:
            self._claim(plugin, plugin.brought(entry.load, hooks))

    def _claim(self, plugin: InstalledPlugin, found: Sequence[Contribution]) -> None:
        """Take over what a plugin brings, but for commands whose names are taken."""
        for kind, name, thing in found:
            owner = self._owners.get((kind, name))
            if kind == "command" and (why := why_taken(name, owner)):
                plugin.leave_out(f"its command {name!r} is left out: {why}")
                continue
            if owner is not None:
                raise ConfigurationError(_clash(kind, name, owner, plugin.name))
            self._owners[kind, name] = plugin.name
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
            case "command":
                self.commands[name] = thing
            case "route" | "dialect":
                pass

    def _sampling(self) -> tuple[SamplingParameter, ...]:
        """Return what the backends know of sampling beyond what all do, one row for each name."""
        tables = (parameters_of(b.sampling_type, name) for name, b in self.backends.items())
        try:
            return merged(tables)
        except ValueError as exc:
            raise ConfigurationError(f"{exc}; leave one out with --block-plugins") from exc

    def check_policy(self, settings: Settings) -> None:
        """Raise a ConfigurationError where no plugin brings the policy that settings name."""
        wanted = settings.eviction_policy
        known = list(self.eviction_policies)
        if wanted not in known:
            raise ConfigurationError(
                f"eviction_policy: no installed plugin brings {wanted!r};"
                f" there is {', '.join(known) or 'none'}{nearest(wanted, known)}",
                field="eviction_policy",
            )


def _clash(kind: PluginKind, name: str, first: str, second: str) -> str:
    """Return what is wrong where a name of a kind is taken already, and what to do."""
    if first == second:
        return (
            f"the plugin {first!r} brings more than one {kind} named {name!r};"
            f" leave it out with --block-plugins {first}"
        )
    return (
        f"two plugins bring a {kind} named {name!r}: {first!r} and {second!r};"
        f" leave one out with --block-plugins {second}"
    )


def _same(plugin: object) -> object:
    return plugin
