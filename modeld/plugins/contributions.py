# SPDX-License-Identifier: GPL-3.0-only
"""What a plugin brings, by kind and name; each thing is checked before it is taken over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from modeld.commands import BUILT_IN, Command
from modeld.interfaces import (
    Backend,
    EvictionPolicy,
    Observer,
    OutputFormatter,
    PluginKind,
    PublicRoute,
    RegistrySource,
)
from modeld.plugins.guard import PluginFault, described, expect
from modeld.requests import BackendSampling
from modeld.sampling import COMMON, parameters_of
from modeld.values import Options

Contribution: TypeAlias = tuple[PluginKind, str, Any]

MIDDLEWARE_HOOK: Final = "modeld_register_middleware"
COMMANDS_HOOK: Final = "modeld_register_commands"
LIFESPAN_HOOK: Final = "modeld_lifespan"
SETTINGS_HOOK: Final = "modeld_register_settings"
ROUTES_HOOK: Final = "modeld_register_routes"
DIALECTS_HOOK: Final = "modeld_register_dialects"

_NAMED: Final[Mapping[str, tuple[PluginKind, type]]] = {
    "modeld_register_backends": ("backend", Backend),
    "modeld_register_sources": ("source", RegistrySource),
    "modeld_register_eviction_policies": ("eviction policy", EvictionPolicy),
    "modeld_register_formatters": ("formatter", OutputFormatter),
    "modeld_register_observers": ("observer", Observer),
    COMMANDS_HOOK: ("command", Command),
}

DISCOVERY_HOOKS: Final = (*_NAMED, MIDDLEWARE_HOOK)
"""The hooks that are called when a plugin is found; routes need the service and come later."""

SEPARATE_HOOKS: Final[Mapping[str, str]] = {
    "modeld_register_sources": "a source",
    "modeld_register_eviction_policies": "an eviction policy",
    "modeld_register_formatters": "a formatter",
    COMMANDS_HOOK: "a command",
}
"""The hooks of whose things one can be left out while the others are used, and what it is called.

Who asks for one that is left out is refused by its name. Not so with the others: without one of a
plugin's backends another would load its models unasked, without an observer its pages would show
what nobody tells them, and without a middleware what that protects would be open.
"""


def contribution(hook: str, thing: Any, plugin: str, number: int) -> Contribution:
    """Return one thing that ``plugin`` has returned from a hook, with its kind and name.

    Raises:
        PluginFault: it is not what the hook asks for, has no name, or raises when it is looked at.
    """
    return _looked_at(lambda: _contribution(hook, thing, plugin, number))


def route_contribution(route: Any) -> Contribution:
    """Return one route with its path for a name.

    Raises:
        PluginFault: it is no route, or raises when it is looked at.
    """
    return _looked_at(lambda: _route_contribution(route))


def dialect_contribution(dialect: Any) -> Contribution:
    """Return one wire format with its name.

    Raises:
        PluginFault: it is none, has no name, or raises when it is looked at.
    """
    return _looked_at(lambda: _dialect_contribution(dialect))


def why_taken(command: str, owner: str | None) -> str | None:
    """Return why no plugin can bring a command of this name any more, or ``None`` if one can.

    ``owner`` is the plugin that has brought one, if there is one.
    """
    if command in BUILT_IN:
        return "modeld itself has one of this name"
    return None if owner is None else f"the plugin {owner!r} has one of this name"


def _looked_at(look: Callable[[], Contribution]) -> Contribution:
    try:
        return look()
    except PluginFault:
        raise
    except BaseException as exc:  # a plugin's SystemExit is its fault, not ours
        raise PluginFault(f"it raised {described(exc)}") from exc


def _contribution(hook: str, thing: Any, plugin: str, number: int) -> Contribution:
    if hook == MIDDLEWARE_HOOK:
        expect(hasattr(thing, "cls"), thing, "a starlette.middleware.Middleware")
        return "middleware", f"{plugin}:{number}:{_name_of(thing.cls)}", thing
    kind, expected = _NAMED[hook]
    expect(isinstance(thing, expected), thing, f"a {expected.__name__}")
    name = getattr(thing, "name", None)
    expect(isinstance(name, str) and bool(name), thing, "an object with a name")
    if isinstance(thing, Backend):
        _check_options(thing)
        _check_sampling(thing)
    if isinstance(thing, OutputFormatter):
        media_type: object = thing.media_type
        is_one = isinstance(media_type, str) and "/" in media_type
        expect(is_one, media_type, "a media type")
    return kind, str(name), thing


def _route_contribution(route: Any) -> Contribution:
    bare = route.route if isinstance(route, PublicRoute) else route
    expect(hasattr(bare, "matches"), bare, "a Starlette route")
    return "route", route_name(bare), route


def route_name(route: object) -> str:
    """Return what a plugin's route is known by: its path, or what it is where it has none."""
    return str(getattr(route, "path", None) or route)


def _dialect_contribution(dialect: Any) -> Contribution:
    # Not by its class: its module needs pydantic, and these checks are for commands too.
    is_dialect = all(callable(getattr(dialect, each, None)) for each in ("routes", "error"))
    expect(is_dialect, dialect, "a Dialect")
    name = getattr(dialect, "name", None)
    expect(isinstance(name, str) and bool(name), dialect, "an object with a name")
    return "dialect", str(name), dialect


def _check_options(backend: Backend) -> None:
    declared: object = backend.options_type
    is_table = isinstance(declared, type) and issubclass(declared, Options)
    expect(is_table, declared, "a subclass of Options as its options_type")


def _check_sampling(backend: Backend) -> None:
    declared: object = backend.sampling_type
    is_table = isinstance(declared, type) and issubclass(declared, BackendSampling)
    expect(is_table, declared, "a subclass of BackendSampling as its sampling_type")
    for name in backend.unserved_sampling:
        expect(name in {row.name for row in COMMON}, name, "a name in unserved_sampling")
    try:
        parameters_of(backend.sampling_type)
    except ValueError as exc:
        raise PluginFault(f"sampling_type of backend {backend.name!r}: {exc}") from exc


def _name_of(factory: object) -> str:
    return str(getattr(factory, "__name__", type(factory).__name__))
