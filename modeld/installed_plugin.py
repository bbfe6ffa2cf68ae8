# SPDX-License-Identifier: GPL-3.0-only
"""One plugin that was found: how it is imported and asked, and what became of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Literal

from modeld.contributions import (
    DIALECTS_HOOK,
    ROUTES_HOOK,
    SEPARATE_HOOKS,
    Contribution,
    contribution,
    dialect_contribution,
    route_contribution,
)
from modeld.interfaces import ModelService
from modeld.plugin_guard import PluginFault, described
from modeld.plugin_hooks import PluginHooks
from modeld.sampling import SamplingParameter
from modeld.values import PluginStatus

log = logging.getLogger("modeld.plugins")


class InstalledPlugin:
    """A plugin whose faults stay its own.

    ``distribution`` and ``version`` are empty for one that the application has passed in.
    """

    def __init__(self, name: str, distribution: str, version: str, hooks: PluginHooks) -> None:
        self.name = name
        self.distribution = distribution
        self.provides: list[str] = []
        self._version = version
        self._hooks = hooks
        self._state: Literal["active", "broken", "blocked"] = "active"
        self._reasons: list[str] = []

    def status(self) -> PluginStatus:
        """Return what became of it so far."""
        return PluginStatus(
            name=self.name,
            distribution=self.distribution,
            version=self._version,
            state=self._state,
            provides=tuple(self.provides),
            reason="; ".join(self._reasons) or None,
        )

    def block(self) -> None:
        """Leave it out unseen, as the settings ask for."""
        self._state = "blocked"

    def brought(self, load: Callable[[], object], hooks: Sequence[str]) -> list[Contribution]:
        """Import it and return what these hooks bring; nothing if anything of that fails."""
        try:
            implementation = self._hooks.within("import", lambda: _instance(load()))
            self._hooks.register(self.name, implementation)
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

    def leave_out(self, reason: str) -> None:
        """Note that something that it brings is not used, while the rest of it is."""
        self._reasons.append(reason)
        log.warning("plugin %r: %s", self.name, reason)

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
        self._state, self._reasons = "broken", [reason]
        self._hooks.unregister(self.name)
        log.warning("plugin %r is left out: %s", self.name, reason)


def _instance(plugin: object) -> object:
    """Return a plugin; a class that an entry point names is made anew for each application."""
    return plugin() if isinstance(plugin, type) else plugin
