# SPDX-License-Identifier: GPL-3.0-only
"""The checks that every request passes at its route before any work is done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Any

from starlette.datastructures import URLPath
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import ASGIApp, Receive, Scope, Send

from modeld.httpapi.access.keys import CacheSalt, Keys
from modeld.httpapi.access.origins import Origins, is_reading
from modeld.httpapi.exchange.contained import Blame, Contained
from modeld.httpapi.exchange.exchange import UNMATCHED, exchange_of
from modeld.httpapi.exchange.reading.query import check_query
from modeld.route_context import RouteContext, attach


class Gate:
    """Checks origin, key and log level of a request, then starts the service if need be.

    It stands at each route instead of before the router, so that no decision is taken from a path.
    """

    def __init__(
        self,
        keys: Keys,
        origins: Origins,
        start: Callable[[], Awaitable[None]],
        salt: CacheSalt | None = None,
    ) -> None:
        self._keys = keys
        self._salt = salt or CacheSalt(keys, per_key=False)
        self._origins = origins
        self._start = start

    async def pass_through(
        self,
        scope: Scope,
        route: str,
        *,
        public: bool = False,
        needs_service: bool = True,
        changes_state: bool = False,
        query: Collection[str] | None = None,
    ) -> None:
        """Let one request pass. ``query`` are the parameters that the route takes, if it says so.

        Raises:
            ModeldError: it may not pass; or the service cannot start.
        """
        exchange = exchange_of(scope)
        exchange.enter(route)
        exchange.is_probe = public
        self._origins.check(scope)
        if not public:
            self._keys.check(scope)
        may_hide = not changes_state or is_reading(scope)
        exchange.choose_log_level(scope, may_hide=may_hide)
        if query is not None:
            check_query(scope, query)
        if needs_service:
            await self._start()

    def context_of(self, scope: Scope) -> RouteContext:
        """Return what a plugin's route may know of a request that has passed."""
        return RouteContext(
            request_id=exchange_of(scope).request_id,
            caller=self._keys.caller_of(scope),
            salt=partial(self._salt.of, scope),
        )

    async def nowhere(self, scope: Scope, _receive: Receive, _send: Send) -> None:
        """Refuse a request that no route matches."""
        await self.pass_through(scope, UNMATCHED, needs_service=False)
        raise HTTPException(404)


class GatedRoute(BaseRoute):
    """A route behind the gate. ``template`` is the route's name in metrics and logs.

    With a ``query`` the route takes these parameters and no others. ``blame`` takes what a plugin's
    route raises.
    """

    def __init__(
        self,
        route: BaseRoute,
        gate: Gate,
        template: str,
        *,
        public: bool = False,
        needs_service: bool = True,
        changes_state: bool = False,
        query: Collection[str] | None = None,
        blame: Blame | None = None,
    ) -> None:
        self._handle: ASGIApp = route.handle
        self._is_plugins = blame is not None
        if blame is not None:
            self._handle = Contained(route.handle, f"route {template!r}", blame)
        self.route = route
        self.template = template
        self.public = public
        self._gate = gate
        self._needs_service = needs_service
        self._changes_state = changes_state
        self._query = query

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return what the route itself returns."""
        return self.route.matches(scope)

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        """Return what the route itself returns."""
        return self.route.url_path_for(name, **path_params)

    @property
    def methods(self) -> frozenset[str]:
        """Return what the route says that it takes; nothing where it does not say."""
        return frozenset(getattr(self.route, "methods", None) or ())

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the gate, then serve."""
        await self.pass_gate(scope)
        if self._is_plugins:
            attach(scope, self._gate.context_of(scope))
        await self._handle(scope, receive, send)

    async def pass_gate(self, scope: Scope) -> None:
        """Let a request pass that the route may serve.

        Raises:
            ModeldError: it may not pass; or the service cannot start.
        """
        await self._gate.pass_through(
            scope,
            self.template,
            public=self.public,
            needs_service=self._needs_service,
            changes_state=self._changes_state,
            query=self._query,
        )


class OtherMethods(BaseRoute):
    """Stands behind all ``routes`` and refuses what is for another method of its address.

    An address may be served by several routes, one for each method, so only all of them together
    know what it takes.
    """

    def __init__(self, routes: Sequence[GatedRoute]) -> None:
        self._routes = routes

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return a full match where a route has the address and none of them the method."""
        found = self._at(scope)
        return (Match.FULL, {}) if found else (Match.NONE, {})

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        """Raise, since this is no address.

        Raises:
            NoMatchFound: always.
        """
        raise NoMatchFound(name, path_params)

    async def handle(self, scope: Scope, _receive: Receive, _send: Send) -> None:
        """Pass the gate of the first route, then say which methods there are."""
        found = self._at(scope)
        await found[0].pass_gate(scope)
        methods = sorted({method for route in found for method in route.methods})
        raise HTTPException(405, headers={"Allow": ", ".join(methods)})

    def _at(self, scope: Scope) -> list[GatedRoute]:
        return [each for each in self._routes if each.matches(scope)[0] is Match.PARTIAL]
