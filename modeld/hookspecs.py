# SPDX-License-Identifier: GPL-3.0-only
"""All hooks, on one page.

Every ``modeld_register_*`` hook is called once per application, at assembly, and returns objects
with a ``name`` (but for the settings, which have the plugin's); two of one kind with one name stop
the start with an error that names both plugins. An implementation may take fewer arguments than
the hook offers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

import pluggy

from modeld.commands import Command
from modeld.events import Event
from modeld.interfaces import (
    Backend,
    EvictionPolicy,
    ModelService,
    Observer,
    OutputFormatter,
    PublicRoute,
    RegistrySource,
)
from modeld.sampling import SamplingParameter
from modeld.settings import PluginSettings, Settings
from modeld.values import ModelSpec

if TYPE_CHECKING:
    from starlette.middleware import Middleware
    from starlette.routing import BaseRoute

    from modeld.dialects import Dialect

PROJECT = "modeld"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def modeld_register_settings() -> type[PluginSettings]:  # type: ignore[empty-body]
    """Return the class of this plugin's own settings, which stand under the plugin's name.

    Called before all other hooks, which get their values with ``settings.of(…)``, and also where
    nothing but the settings is asked for, ``modeld serve --help`` for example.
    """


@hookspec
def modeld_register_backends(settings: Settings) -> Iterable[Backend]:  # type: ignore[empty-body]
    """Return the runtimes that this plugin can load models with."""


@hookspec
def modeld_register_sources(settings: Settings) -> Iterable[RegistrySource]:  # type: ignore[empty-body]
    """Return the places where this plugin finds models."""


@hookspec
def modeld_register_eviction_policies(settings: Settings) -> Iterable[EvictionPolicy]:  # type: ignore[empty-body]
    """Return policies; the setting ``eviction_policy`` chooses one by name."""


@hookspec
def modeld_register_formatters(settings: Settings) -> Iterable[OutputFormatter]:  # type: ignore[empty-body]
    """Return formatters; the request's ``Accept`` header chooses one by media type."""


@hookspec
def modeld_register_observers(settings: Settings) -> Iterable[Observer]:  # type: ignore[empty-body]
    """Return observers; each is told every event."""


@hookspec
def modeld_register_routes(  # type: ignore[empty-body]
    settings: Settings, service: ModelService
) -> Iterable[BaseRoute | PublicRoute]:
    """Return Starlette routes to serve beside modeld's own; a path can be taken only once.

    They are behind the API keys, where there are any, unless they are in a ``PublicRoute``.
    """


@hookspec
def modeld_register_dialects(  # type: ignore[empty-body]
    settings: Settings, parameters: tuple[SamplingParameter, ...]
) -> Iterable[Dialect]:
    """Return wire formats for the models; a path can be taken only once.

    ``parameters`` are what the installed backends declare for choosing tokens, for bodies that have
    a field for each.
    """


@hookspec
def modeld_register_middleware(settings: Settings) -> Iterable[Middleware]:  # type: ignore[empty-body]
    """Return Starlette middleware; it is put around the whole application, first one outermost."""


@hookspec
def modeld_register_commands(settings: Settings) -> Iterable[Command]:  # type: ignore[empty-body]
    """Return commands of ``modeld``; called too before it shows its help or runs one of them.

    Unlike with other kinds, a name that is taken leaves that command out, and the start goes on.
    """


@hookspec
def modeld_lifespan(  # type: ignore[empty-body]
    settings: Settings, service: ModelService
) -> AbstractAsyncContextManager[object]:
    """Return what this plugin has open while the service runs, as an async context manager.

    It is entered before the first request and left after the last engine is closed. Called once for
    each start of the service, again after one that failed; a command that serves nothing does not
    call it.
    """


@hookspec(firstresult=True)
def modeld_choose_backend(spec: ModelSpec, backends: Sequence[Backend]) -> Backend | None:
    """Choose the backend for a model; ``None`` leaves the choice to others.

    Called at the start, at a model's first request and when its file has changed, unless the
    settings or the model's source (``options["backend"]``) name the backend. Without a choice the
    first backend whose ``can_load`` agrees is taken.
    """


@hookspec(firstresult=True)
def modeld_build_service(
    settings: Settings, build_local: Callable[[], ModelService], notify: Callable[[Event], None]
) -> ModelService | None:
    """Put another service in place of the local one; called once per application.

    ``build_local`` makes the service that would be used otherwise, for those who wrap it.
    ``notify`` tells all observers of an event; it is called on the event loop.
    """
