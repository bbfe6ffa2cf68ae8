# SPDX-License-Identifier: GPL-3.0-only
"""What modeld knows of an HTTP request, for the plain routes that plugins bring."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

_KEY: Final = "modeld.route_context"


class _Connection(Protocol):
    """Starlette's ``Request`` and ``WebSocket``."""

    @property
    def scope(self) -> MutableMapping[str, Any]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteContext:
    """An HTTP request, beyond what Starlette says of it.

    ``request_id`` is what the response, the log and the events name it by; a request for a model
    gets it as its own. ``caller`` tells callers apart without giving their keys away; it is empty
    where one has sent none. ``salt`` returns the ``cache_salt`` of a request for a model, from the
    client's own and, where the settings say so, from its key.
    """

    request_id: str
    caller: str
    salt: Callable[[str], str]


def route_context_of(connection: _Connection) -> RouteContext:
    """Return what modeld knows of a request that one of its routes serves.

    Raises:
        LookupError: it has not come through a route of modeld's.
    """
    found = connection.scope.get(_KEY)
    if not isinstance(found, RouteContext):
        raise LookupError("this request has not come through a route of modeld")  # noqa: TRY004
    return found


def attach(scope: MutableMapping[str, Any], context: RouteContext) -> None:
    """Make the context known to the route."""
    scope[_KEY] = context
