# SPDX-License-Identifier: GPL-3.0-only
"""The hooks of the plugins: how they are registered and called.

pluggy is used at assembly, and for the choice of a backend; everything else at run time is plain
objects in plain dictionaries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import pluggy

from modeld import hookspecs
from modeld.plugins.guard import PluginFault, guarded
from modeld.settings import Settings

T = TypeVar("T")


class PluginHooks:
    """The hooks of one application's plugins, each called within the time limit."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._manager = pluggy.PluginManager(hookspecs.PROJECT)
        self._manager.add_hookspecs(hookspecs)

    @property
    def settings(self) -> Settings:
        """Return the settings that hooks are told."""
        return self._settings

    @property
    def relay(self) -> pluggy.HookRelay:
        """Return all plugins' hooks, to be called without a time limit."""
        return self._manager.hook

    def within(self, what: str, function: Callable[[], T]) -> T:
        """Return what ``function`` returns.

        Raises:
            PluginFault: it raised or took longer than ``plugin_timeout_s``; ``what`` names it.
        """
        return guarded(what, function, self._settings.plugin_timeout_s)

    def register(self, name: str, implementation: object) -> None:
        """Take a plugin's hooks in.

        Raises:
            PluginFault: a hook is misspelt, not marked, or takes an argument that there is not.
        """
        self._refuse_unmarked(implementation)
        try:
            self._manager.register(implementation, name=name)
            self._manager.check_pending()
        except (pluggy.PluginValidationError, ValueError) as exc:
            raise PluginFault(" ".join(str(exc).split())) from exc

    def unregister(self, name: str) -> None:
        """Take a plugin's hooks out, if they are in."""
        if self._manager.has_plugin(name):
            self._manager.unregister(name=name)

    def things(self, plugin: str, hook: str, **arguments: object) -> list[Any]:
        """Return what one plugin returns to one hook, and nothing if it does not have that hook.

        Raises:
            PluginFault: it raised, took too long or returned no list.
        """
        caller = self._caller(plugin, hook)
        if caller is None:
            return []
        arguments["settings"] = self._settings

        def collect() -> list[Any]:
            found: list[Any] = []
            for returned in caller(**arguments):
                if isinstance(returned, str) or not isinstance(returned, Iterable):
                    raise PluginFault(f"{hook} returned {returned!r}, not a list")
                found += returned
            return found

        return self.within(hook, collect)

    def of_plugin(self, plugin: str, hook: str, **arguments: object) -> object:
        """Return what one plugin returns to a hook; ``None`` if it does not have that hook.

        Raises:
            PluginFault: it raised or took too long.
        """
        caller = self._caller(plugin, hook)
        if caller is None:
            return None
        return next(iter(self.within(hook, lambda: caller(**arguments))), None)

    def first(self, hook: str, **arguments: object) -> object:
        """Return the first result that any plugin has for one hook; ``None`` if none has one.

        Raises:
            PluginFault: a plugin raised or took too long.
        """
        caller = getattr(self._manager.hook, hook)
        arguments["settings"] = self._settings
        return self.within(hook, lambda: caller(**arguments))

    def _caller(self, plugin: str, hook: str) -> Callable[..., list[Any]] | None:
        """Return what calls one plugin's hook; ``None`` if the plugin does not have that hook."""
        implementations = getattr(self._manager.hook, hook).get_hookimpls()
        if all(each.plugin_name != plugin for each in implementations):
            return None  # no thread for nothing: most plugins have one or two hooks of all
        others = [other for name, other in self._manager.list_name_plugin() if name != plugin]
        return self._manager.subset_hook_caller(hook, remove_plugins=others)

    def _refuse_unmarked(self, implementation: object) -> None:
        for name in dir(implementation):
            if (
                hasattr(hookspecs, name)
                and name.startswith(f"{hookspecs.PROJECT}_")
                and (self._manager.parse_hookimpl_opts(implementation, name) is None)
            ):
                raise PluginFault(f"{name} is not marked with @modeld.hookimpl")
