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
from typing import TYPE_CHECKING

from msgspec.structs import replace

from modeld.errors import ConfigurationError
from modeld.events import Event
from modeld.expectation import nearest
from modeld.hookspecs import PROJECT
from modeld.interfaces import (
    Backend,
    EvictionPolicy,
    ModelService,
    PluginKind,
    PublicRoute,
)
from modeld.plugins.backend_choice import choose_backend
from modeld.plugins.brought import Brought
from modeld.plugins.contributions import COMMANDS_HOOK, DISCOVERY_HOOKS
from modeld.plugins.faults import PluginFaults
from modeld.plugins.guard import PluginFault, described, shown
from modeld.plugins.hooks import PluginHooks
from modeld.plugins.installed_plugin import Entry, InstalledPlugin, entries
from modeld.plugins.lifespans import Beside, PluginLifespans
from modeld.plugins.policy_choice import check_policy, choose_policy
from modeld.plugins.tables import check_distinct, unused
from modeld.sampling import SamplingParameter
from modeld.settings import PluginSettings, Settings
from modeld.values import ModelSpec, PluginStatus

if TYPE_CHECKING:
    from starlette.middleware import Middleware
    from starlette.routing import BaseRoute

    from modeld.dialects import Dialect

log = logging.getLogger("modeld.plugins")


class PluginHost:
    """The plugins of one application.

    Make it with :meth:`discover`, one for each application: two hosts in one process share nothing.
    ``sampling`` has what the backends declare for requests, beyond what all of them know.
    """

    def __init__(self, settings: Settings, *, is_logged: bool = True) -> None:
        self.settings = settings
        self._is_logged = is_logged
        self._brought = brought = Brought()
        self.backends, self.sources = brought.backends, brought.sources
        self.eviction_policies = brought.eviction_policies
        self.formatters, self.observers = brought.formatters, brought.observers
        self.middleware, self.commands = brought.middleware, brought.commands
        self.sampling: tuple[SamplingParameter, ...] = ()
        self._plugins: dict[str, InstalledPlugin] = {}
        self._is_taken = False
        self.faults = PluginFaults(brought.owners)
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
        check_policy(host.eviction_policies, settings)
        host.sampling = host._brought.sampling()
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
        return host._brought.sampling()

    def statuses(self, of_sources: Mapping[str, Sequence[str]] = {}) -> tuple[PluginStatus, ...]:
        """Return all plugins found, broken and blocked ones too, in the order of their names.

        ``of_sources`` has what is not used now of some sources' models, in words.
        """
        notes: dict[str, list[str]] = {}
        for source, words in of_sources.items():
            notes.setdefault(self._brought.owners.get(("source", source), ""), []).extend(words)
        found = (each.status(notes.get(each.name, ())) for each in self._plugins.values())
        return tuple(replace(each, faults=self.faults.of(each.name)) for each in found)

    def policy(self) -> EvictionPolicy:
        """Return the eviction policy that the settings name; where it is wrong, ``lru`` decides."""
        name = self.settings.eviction_policy
        owner = self._plugins.get(self._brought.owners.get(("eviction policy", name), ""))
        is_trusted = owner is not None and owner.distribution == PROJECT
        return choose_policy(self.eviction_policies, name, self.faults.note, is_trusted=is_trusted)

    def settings_classes(self) -> Mapping[type[PluginSettings], str]:
        """Return the classes of the plugins' settings with the plugins' names."""
        tables = (each.table for each in self._plugins.values())
        return {table.declared: table.plugin for table in tables if table is not None}

    def reconfigure(self, settings: Settings) -> None:
        """Go by other settings from now on, for the policy and the choice of backends.

        Raises:
            ConfigurationError: no plugin brings the policy that they name; nothing has changed.
        """
        check_policy(self.eviction_policies, settings)
        self.settings = settings

    def routes(self, service: ModelService) -> list[BaseRoute | PublicRoute]:
        """Return the plugins' routes for this service; called once, at assembly."""
        routes: list[BaseRoute | PublicRoute] = []
        for plugin in self._plugins.values():
            found = plugin.brought_routes(service)
            self._brought.claim(plugin, found)
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
            self._brought.claim(plugin, found)
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
        return self._brought.owners[kind, name]

    def layers(self) -> list[tuple[str, Middleware]]:
        """Return the middleware with its names, the outermost first."""
        return self._brought.layers()

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
            self._brought.claim(plugin, plugin.brought(entry.load, hooks))


def _same(plugin: object) -> object:
    return plugin
