# SPDX-License-Identifier: GPL-3.0-only
"""What the plugins of one application have brought, by kind and name, and who has brought it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, assert_never

from modeld.commands import Command
from modeld.errors import ConfigurationError
from modeld.interfaces import (
    Backend,
    EvictionPolicy,
    Observer,
    OutputFormatter,
    PluginKind,
    RegistrySource,
)
from modeld.plugins.contributions import Contribution, why_taken
from modeld.plugins.installed_plugin import InstalledPlugin
from modeld.sampling import SamplingParameter, merged, parameters_of

if TYPE_CHECKING:
    from starlette.middleware import Middleware


class Brought:
    """The things by name, a mapping for each kind; ``owners`` has the plugin of each.

    Routes and dialects are kept by the application that they are brought for.
    """

    def __init__(self) -> None:
        self.backends: dict[str, Backend] = {}
        self.sources: dict[str, RegistrySource] = {}
        self.eviction_policies: dict[str, EvictionPolicy] = {}
        self.formatters: dict[str, OutputFormatter] = {}
        self.observers: dict[str, Observer] = {}
        self.middleware: list[Middleware] = []
        self.commands: dict[str, Command] = {}
        self.owners: dict[tuple[str, str], str] = {}

    def claim(self, plugin: InstalledPlugin, found: Sequence[Contribution]) -> None:
        """Take over what a plugin brings, but for commands whose names are taken.

        Raises:
            ConfigurationError: another thing of one kind has one name with it.
        """
        for kind, name, thing in found:
            owner = self.owners.get((kind, name))
            if kind == "command" and (why := why_taken(name, owner)):
                plugin.leave_out(f"its command {name!r} is left out: {why}")
                continue
            if owner is not None:
                raise ConfigurationError(_clash(kind, name, owner, plugin.name))
            self.owners[kind, name] = plugin.name
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
            case _:
                assert_never(kind)

    def layers(self) -> list[tuple[str, Middleware]]:
        """Return the middleware with its names, the outermost first."""
        names = [name for kind, name in self.owners if kind == "middleware"]
        return list(zip(names, self.middleware, strict=True))

    def sampling(self) -> tuple[SamplingParameter, ...]:
        """Return what the backends know of sampling beyond what all do, one row for each name.

        Raises:
            ConfigurationError: two backends declare one name with different types.
        """
        tables = (parameters_of(b.sampling_type, name) for name, b in self.backends.items())
        try:
            return merged(tables)
        except ValueError as exc:
            raise ConfigurationError(f"{exc}; leave one out with --block-plugins") from exc


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
