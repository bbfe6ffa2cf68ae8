# SPDX-License-Identifier: GPL-3.0-only
"""One plugin that was found: how it is imported and called, and its state."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from importlib.metadata import entry_points
from typing import Final, Literal, NamedTuple

from modeld.hookspecs import PROJECT
from modeld.interfaces import ModelService
from modeld.plugins.contributions import (
    DIALECTS_HOOK,
    LIFESPAN_HOOK,
    ROUTES_HOOK,
    SEPARATE_HOOKS,
    SETTINGS_HOOK,
    Contribution,
    contribution,
    dialect_contribution,
    route_contribution,
)
from modeld.plugins.guard import PluginFault, described, shown
from modeld.plugins.hooks import PluginHooks
from modeld.sampling import SamplingParameter
from modeld.settings import TABLE, PluginTable, table_of
from modeld.values import PluginStatus

GROUP: Final = "modeld"
"""The entry point group that plugins are found by."""

log = logging.getLogger("modeld.plugins")


WITHOUT_SETTINGS: Final = frozenset(
    {
        "cost-aware",
        "gguf-folder",
        "lfu",
        "lru",
        "ndjson",
        "plain-json",
        "prometheus",
        "sse",
        "trace",
    }
)
"""Plugins of modeld's own that are not imported where nothing but settings is asked for."""


class Entry(NamedTuple):
    """A plugin's entry point, and the distribution that has it; both of its texts may be empty."""

    name: str
    distribution: str
    version: str
    load: Callable[[], object]

    @property
    def is_own(self) -> bool:
        """Return whether modeld itself brings it."""
        return self.distribution == PROJECT

    @property
    def may_have_settings(self) -> bool:
        """Return false for those of modeld itself that are known to have none."""
        return not self.is_own or self.name not in WITHOUT_SETTINGS


def entries() -> list[Entry]:
    """Return the entry points of all installed plugins, in the order of their names."""
    found = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    # Whoever asks a distribution for its name has its whole description read, each time.
    distributions = {id(each.dist): each.dist for each in found if each.dist}
    about = {key: dist.metadata for key, dist in distributions.items()}
    entries = []
    for each in found:
        metadata = about.get(id(each.dist))
        named = (metadata["Name"], metadata["Version"]) if metadata else ("", "")
        entries.append(Entry(each.name, *named, each.load))
    return entries


class InstalledPlugin:
    """A plugin whose faults stay its own.

    ``distribution`` and ``version`` are empty for one that the application has passed in. ``table``
    has its settings, once it was imported and if it has any. Unless it ``is_logged``, what is wrong
    with it is in its status alone.
    """

    def __init__(
        self,
        name: str,
        distribution: str,
        version: str,
        hooks: PluginHooks,
        *,
        is_logged: bool = True,
    ) -> None:
        self.name = name
        self.distribution = distribution
        self.provides: list[str] = []
        self.table: PluginTable | None = None
        self._version = version
        self._hooks = hooks
        self._is_logged = is_logged
        self._state: Literal["active", "broken", "blocked"] = "active"
        self._reasons: list[str] = []

    def status(self, notes: Sequence[str] = ()) -> PluginStatus:
        """Return what became of it so far; ``notes`` are reasons that hold for now."""
        settings = (f"settings {self.name}",) if self.table else ()
        return PluginStatus(
            name=self.name,
            distribution=self.distribution,
            version=self._version,
            state=self._state,
            provides=(*settings, *self.provides),
            reason="; ".join([*self._reasons, *notes]) or None,
        )

    def block(self) -> None:
        """Leave it out unseen, as the settings ask for."""
        self._state = "blocked"

    def brought(self, load: Callable[[], object], hooks: Sequence[str]) -> list[Contribution]:
        """Import it, read its table of settings, and return what these hooks bring.

        It is nothing if anything of that fails.
        """
        try:
            implementation = self._hooks.within("import", lambda: _instance(load()))
            self._hooks.register(self.name, implementation)
            self.table = self._declared_settings()
            return [found for hook in hooks for found in self._brought_by(hook)]
        except PluginFault as fault:
            self._break(str(fault))
        except Exception as exc:  # noqa: BLE001  (even to look into it may raise)
            self._break(f"it raised {described(exc)}")
        return []

    def brought_routes(self, service: ModelService) -> list[Contribution]:
        """Return its routes: all of them, or none if one is wrong.

        What one of them would have served must not go to a broader one beside it.
        """
        if self._state != "active":
            return []
        try:
            routes = self._hooks.things(self.name, ROUTES_HOOK, service=service)
            return [route_contribution(route) for route in routes]
        except PluginFault as fault:
            self.leave_out(f"its routes are left out: {fault}")
            return []

    def brought_dialects(self, parameters: tuple[SamplingParameter, ...]) -> list[Contribution]:
        """Return its wire formats: all of them, or none if one is wrong, as with routes."""
        if self._state != "active":
            return []
        try:
            dialects = self._hooks.things(self.name, DIALECTS_HOOK, parameters=parameters)
            return [dialect_contribution(dialect) for dialect in dialects]
        except PluginFault as fault:
            self.leave_out(f"its dialects are left out: {fault}")
            return []

    def brought_lifespan(self, service: ModelService) -> AbstractAsyncContextManager[object] | None:
        """Return what it has open while ``service`` runs, if anything."""
        if self._state != "active":
            return None
        try:
            brought = self._hooks.of_plugin(
                self.name, LIFESPAN_HOOK, settings=self._hooks.settings, service=service
            )
        except PluginFault as fault:
            self.leave_out(f"its lifespan is left out: {fault}")
            return None
        if brought is None or isinstance(brought, AbstractAsyncContextManager):
            return brought
        self.leave_out(f"its lifespan is left out: {shown(brought)} is no async context manager")
        return None

    def leave_out(self, reason: str) -> None:
        """Note that something that it brings is not used, while the rest of it is."""
        self._reasons.append(reason)
        if self._is_logged:
            log.warning("plugin %r: %s", self.name, reason)

    def _declared_settings(self) -> PluginTable | None:
        declared = self._hooks.of_plugin(self.name, SETTINGS_HOOK)
        if declared is None:
            return None
        try:
            table = table_of(self.name, declared)
        except ValueError as exc:
            raise PluginFault(f"its settings cannot be used: {exc}") from exc
        if self.name in {name for row in TABLE for name in row.names}:
            said = f"{self.name!r} is a setting of modeld itself, under which they would stand"
            raise PluginFault(f"its settings cannot be used: {said}")
        own = {variable for row in TABLE for variable in row.variables}
        for row in table.rows:
            if row.variable in own:
                said = f"{row.name!r} would be {row.variable}, which modeld itself has"
                raise PluginFault(f"its settings cannot be used: {said}")
        return table

    def _brought_by(self, hook: str) -> list[Contribution]:
        found: list[Contribution] = []
        for number, thing in enumerate(self._hooks.things(self.name, hook)):
            try:
                found.append(contribution(hook, thing, self.name, number))
            except PluginFault as fault:
                if hook not in SEPARATE_HOOKS:
                    raise
                self.leave_out(f"{SEPARATE_HOOKS[hook]} is left out: {fault}")
        return found

    def _break(self, reason: str) -> None:
        self._state, self._reasons, self.table = "broken", [reason], None
        self._hooks.unregister(self.name)
        if self._is_logged:
            log.warning("plugin %r is left out: %s", self.name, reason)


def _instance(plugin: object) -> object:
    """Return a plugin; a class that an entry point names is made anew for each application."""
    return plugin() if isinstance(plugin, type) else plugin
