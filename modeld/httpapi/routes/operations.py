# SPDX-License-Identifier: GPL-3.0-only
"""One row of the route table, from which a route is served and documented."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from modeld.dialects import Dialect, DialectRoute, GenerationRoute, PlainRoute, UnaryRoute
from modeld.dialects.documents import PLACED, Parameter, ResponseDoc
from modeld.errors import ModeldError
from modeld.httpapi.exchange.dialect_endpoints import Kit, endpoint_of

_MODEL_ID = "modeld_model_id"

Endpoint: TypeAlias = Callable[[Request], Awaitable[Response]] | ASGIApp


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method at one path. Where there is a GET there is a HEAD too.

    ``raises`` are the errors beyond those that any operation may have. ``public`` needs no key.
    ``needs_service`` is false where a response can be given before the service has started.
    A ``body_optional`` may be left out.
    What ``changes_state`` is for others too, and no request keeps it out of the access log.
    Errors look as ``dialect`` has them; the native way without one.
    ``tag`` is one of those in :data:`modeld.httpapi.openapi.TAGS`.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    endpoint: Endpoint
    name: str
    tag: str
    summary: str
    responses: tuple[ResponseDoc, ...]
    description: str = ""
    raises: tuple[type[ModeldError], ...] = ()
    parameters: tuple[Parameter, ...] = ()
    body: type[BaseModel] | None = None
    body_optional: bool = False
    body_examples: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    public: bool = False
    needs_service: bool = True
    changes_state: bool = False
    dialect: Dialect | None = None


def operation_of(dialect: Dialect, route: DialectRoute, kit: Kit) -> Operation:
    """Return the row of a dialect's route."""
    return Operation(
        method=route.method if isinstance(route, PlainRoute) else "POST",
        path=route.path,
        endpoint=endpoint_of(route, kit, dialect.name),
        name=route.name,
        tag=route.tag or dialect.name,
        summary=route.summary,
        description=route.description,
        responses=_responses(route),
        raises=route.raises,
        parameters=route.parameters,
        body=None if isinstance(route, PlainRoute) else route.body,
        body_examples={} if isinstance(route, PlainRoute) else route.body_examples,
        dialect=dialect,
    )


def _responses(route: DialectRoute) -> tuple[ResponseDoc, ...]:
    if not isinstance(route, GenerationRoute | UnaryRoute):
        return route.responses
    return tuple(replace(each, headers=(*each.headers, *PLACED)) for each in route.responses)


class _ModelId(PathConvertor):
    """A model's id as a part of a path: any text, with slashes and line ends too."""

    regex = r"(?s:.+)"


register_url_convertor(_MODEL_ID, _ModelId())


def query_names(parameters: Iterable[Parameter]) -> frozenset[str]:
    """Return the names of those that stand in the query."""
    return frozenset(each.name for each in parameters if each.location == "query")


def served_path(path: str) -> str:
    """Return the path of a route for ``path``, in which ``{id}`` takes any text, with slashes too.

    A server hands out paths decoded, so whether a slash came as ``%2F`` is not known any more.
    """
    return path.replace("{id}", f"{{id:{_MODEL_ID}}}")
