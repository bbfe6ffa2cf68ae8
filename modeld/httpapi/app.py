# SPDX-License-Identifier: GPL-3.0-only
"""The application, assembled from its parts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import cast

from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from modeld.errors import ConfigurationError
from modeld.httpapi.access.cors import AllowedOrigins, Cors
from modeld.httpapi.access.gate import Gate, GatedRoute, OtherMethods
from modeld.httpapi.access.keys import CacheSalt, Keys
from modeld.httpapi.access.origins import Origins
from modeld.httpapi.exchange.addresses import Addresses
from modeld.httpapi.exchange.contained import Contained, ContainedMiddleware
from modeld.httpapi.exchange.dialect_endpoints import Kit
from modeld.httpapi.exchange.exchange import AccessLog
from modeld.httpapi.exchange.problems import Problems
from modeld.httpapi.exchange.reading.accept import Formatters
from modeld.httpapi.openapi.document import OpenApi
from modeld.httpapi.openapi.parameters import SHARED
from modeld.httpapi.reload import ReadSettings, Reload
from modeld.httpapi.routes.admin import Admin
from modeld.httpapi.routes.health import Health
from modeld.httpapi.routes.inference.native import Native
from modeld.httpapi.routes.models import Models
from modeld.httpapi.routes.operations import (
    Endpoint,
    Operation,
    operation_of,
    query_names,
    served_path,
)
from modeld.httpapi.routes.plans import Plans
from modeld.httpapi.routes.plugins import Plugins
from modeld.httpapi.routes.root import divided
from modeld.httpapi.routes.status import Status
from modeld.httpapi.routes.swagger import swagger_operation, swagger_route
from modeld.httpapi.server.loop_lag import LoopLagWatch
from modeld.interfaces import ModelService, PublicRoute
from modeld.lifetime import assembled
from modeld.plugins.contributions import route_name
from modeld.plugins.host import PluginHost
from modeld.plugins.tables import read_settings
from modeld.pythonapi.models import Models as PythonApi
from modeld.settings import Settings


def create_app(
    settings: Settings | None = None,
    plugins: PluginHost | Mapping[str, object] | None = None,
    *,
    trusted_hosts: Sequence[str] | None = None,
    read: ReadSettings | None = None,
) -> ModeldApp:
    """Make an application; two in one process share nothing.

    Without ``settings`` they come from the environment and the file that ``MODELD_CONFIG`` names.
    All plugins that are installed take part, and beside them those in ``plugins``: modules,
    classes or objects by name. ``trusted_hosts`` are the names that the ``Host`` header may have;
    ``None`` means those of the settings, and any if there are none. ``read`` reads the settings
    anew for a reload; without it only those can be reloaded that came from the environment.

    Raises:
        ConfigurationError: the settings or the plugins cannot be used; nothing was started.
    """
    if settings is None:
        read, settings = read_settings, read_settings()
    if not isinstance(plugins, PluginHost):
        plugins = PluginHost.discover(settings, plugins)
    return ModeldApp(settings, plugins, trusted_hosts or settings.trusted_hosts or None, read)


class ModeldApp:
    """An ASGI application that runs alone or mounted under any prefix.

    It starts by itself at the first request that needs it. A host may instead enter
    :meth:`lifespan` (``Starlette(lifespan=app.lifespan)``), or call :meth:`start` and
    :meth:`aclose`. It installs no signal handlers and belongs to the event loop that it was
    started on. ``models`` is what the host's own code uses it by, without HTTP.
    """

    def __init__(
        self,
        settings: Settings,
        plugins: PluginHost,
        trusted_hosts: Sequence[str] | None,
        read: ReadSettings | None = None,
    ) -> None:
        self.settings = settings
        self.plugins = plugins
        self._lifetime = assembled(settings, plugins)
        self.service: ModelService = self._lifetime.service
        self.models = PythonApi(self.service, plugins.sampling, start=self.start, close=self.aclose)
        self._loop_lag = LoopLagWatch(plugins.notify)
        self._keys = Keys.from_file(settings.api_key_file) if settings.api_key_file else Keys()
        self.reloading = Reload(settings, read, self.service, plugins, self._keys)
        self._origins = AllowedOrigins.from_settings(settings, self._keys)
        self._salt = CacheSalt(self._keys, per_key=settings.cache_per_key)
        origins = Origins(trusted_hosts, self._origins)
        self._gate = Gate(self._keys, origins, self.start, self._salt)
        native = Native(Formatters(plugins.formatters.values()), plugins.sampling)
        self._dialects = [(each, each.routes()) for each in (native, *plugins.dialects())]
        self.routes: Sequence[GatedRoute] = self._routes()
        self._router = Router(
            [*self.routes, OtherMethods(self.routes)],
            redirect_slashes=False,
            default=self._gate.nowhere,
            lifespan=self.lifespan,
        )
        self._stack = self._wrapped(self._router)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, or the server's lifespan where no host is around."""
        if scope["type"] == "lifespan":
            await self._router(scope, receive, send)
            return
        # A host's scope stays as it is, and its exception handlers are not for our errors.
        own = {**scope, "app": self}
        own.pop("starlette.exception_handlers", None)
        await self._stack(own, receive, send)

    @property
    def base_paths(self) -> Mapping[str, str]:
        """Return the path of each dialect's base URL, behind the server's address.

        It is empty for an API that is at the root; dialects without such programs are left out.
        """
        return {
            each.name: each.base_path for each, _ in self._dialects if each.base_path is not None
        }

    async def start(self) -> None:
        """Get ready to serve. All callers share one start; calling it again does nothing."""
        await self._lifetime.start()
        self._loop_lag.start(asyncio.get_running_loop())

    async def drain(self, timeout_s: float) -> None:
        """Refuse new work and let running requests finish for ``timeout_s``, then end the rest."""
        await self._lifetime.drain(timeout_s)

    async def aclose(self) -> None:
        """End everything and free all memory. May be called twice; there is no start after it."""
        self._loop_lag.stop()
        await self._lifetime.aclose()

    @asynccontextmanager
    async def lifespan(self, _host: object = None) -> AsyncIterator[None]:
        """Start on entering and close on leaving; hosts pass themselves."""
        try:
            await self.start()
            yield
        finally:
            await self.aclose()

    def _routes(self) -> list[GatedRoute]:
        operations = (*self._operations_of_dialects(), *self._operations())
        pages = swagger_operation()
        brought = self.plugins.routes(self.service)
        described = OpenApi((*operations, pages), brought, keys=bool(self._keys))
        operations = (*operations, *described.operations())
        front, others = divided(brought, operations)
        _refuse_taken_paths(operations, others)
        return [
            *(self._gated(page) for page in front),
            *(self._served(operation) for operation in operations),
            self._served(pages, swagger_route()),
            *(self._gated(route) for route in others),
        ]

    def _operations_of_dialects(self) -> list[Operation]:
        kit = Kit(
            service=self.service,
            settings=self.settings,
            salt=self._salt.of,
            caller=self._keys.caller_of,
            default_model=lambda: self.reloading.settings.default_model,
            note=self.plugins.faults.note,
        )
        return [
            operation_of(dialect, route, kit)
            for dialect, routes in self._dialects
            for route in routes
        ]

    def _operations(self) -> tuple[Operation, ...]:
        return (
            *Models(self.service).operations(),
            *Plans(self.service, self.settings.max_body_bytes).operations(),
            *Status(self.service, lambda: self.reloading.error).operations(),
            *Admin(self.reloading).operations(),
            *Health(self.service, self._keys).operations(),
            *Plugins(self.service).operations(),
        )

    def _served(self, operation: Operation, route: BaseRoute | None = None) -> GatedRoute:
        return GatedRoute(
            route
            or Route(
                served_path(operation.path),
                self._endpoint(operation),
                methods=[operation.method],
                name=operation.name,
            ),
            self._gate,
            operation.path,
            public=operation.public,
            needs_service=operation.needs_service,
            changes_state=operation.changes_state,
            query=query_names((*operation.parameters, *SHARED)),
        )

    def _endpoint(self, operation: Operation) -> Endpoint:
        """Return what serves an operation; the code of a plugin's dialect is contained."""
        dialect = operation.dialect
        if dialect is None or isinstance(dialect, Native):
            return operation.endpoint
        what = f"dialect {dialect.name!r} at {operation.path}"
        blame = partial(self.plugins.faults.note, "dialect", dialect.name)
        return Contained(cast(ASGIApp, operation.endpoint), what, blame)

    def _gated(self, brought: BaseRoute | PublicRoute) -> GatedRoute:
        route, public = _plain(brought), isinstance(brought, PublicRoute)
        return GatedRoute(
            route,
            self._gate,
            _template(route),
            public=public,
            needs_service=not public,
            changes_state=True,  # nobody knows, so a request that is no read is never kept quiet
            blame=partial(self.plugins.faults.note, "route", route_name(route)),
        )

    def _wrapped(self, app: ASGIApp) -> ASGIApp:
        """Return ``app`` in its layers: plugins' middleware sees finished responses, errors too."""
        addresses = Addresses(self._dialects)
        note = self.plugins.faults.note
        layers = [
            Middleware(AccessLog, notify=self.plugins.notify),
            *([Middleware(Cors, origins=self._origins)] if self._origins else ()),
            Middleware(Problems, dialects=addresses, note=note),
            *(
                Middleware(
                    ContainedMiddleware,
                    layer=layer,
                    what=f"middleware {name!r}",
                    blame=partial(note, "middleware", name),
                )
                for name, layer in self.plugins.layers()
            ),
            Middleware(Problems, dialects=addresses, note=note),
        ]
        for layer in reversed(layers):
            app = layer.cls(app, *layer.args, **layer.kwargs)
        return app


def _template(route: BaseRoute) -> str:
    return str(getattr(route, "path", None) or type(route).__name__)


def _plain(route: BaseRoute | PublicRoute) -> BaseRoute:
    return route.route if isinstance(route, PublicRoute) else route


def _refuse_taken_paths(
    operations: Sequence[Operation], brought: Sequence[BaseRoute | PublicRoute]
) -> None:
    _refuse_taken_operations(operations)
    taken = {operation.path for operation in operations} | {"/swagger"}
    for route in map(_plain, brought):
        if _template(route) in taken:
            raise ConfigurationError(
                f"a plugin brings the route {_template(route)!r}, which is modeld's own;"
                " leave the plugin out with --block-plugins"
            )


def _refuse_taken_operations(operations: Sequence[Operation]) -> None:
    owners: dict[tuple[str, str], str] = {}
    for operation in operations:
        owner = operation.dialect.name if operation.dialect else "modeld"
        key = operation.path, operation.method
        if key in owners:
            raise ConfigurationError(
                f"the dialects {owners[key]!r} and {owner!r} both bring {operation.method}"
                f" {operation.path}; leave one out with --block-plugins"
            )
        owners[key] = owner
