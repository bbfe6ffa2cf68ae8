# SPDX-License-Identifier: GPL-3.0-only
"""The routes of plugins, as far as they can be described without knowing them.

A route's method and path are known. The first line of its endpoint's docstring is the summary, the
lines after it the description. What stands after a line of ``---`` is YAML: members of an OpenAPI
operation (``responses``, ``requestBody``, ``tags`` …) that go before those made here; its
``parameters`` and ``responses`` stand beside them. That is the way of Starlette's own generator.
"""

from __future__ import annotations

import inspect
import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias

import yaml
from starlette.routing import BaseRoute, Mount, Route

from modeld.httpapi.openapi_failures import Failures, gate_errors
from modeld.httpapi.openapi_headers import described_headers
from modeld.httpapi.openapi_parameters import shared_parameters
from modeld.interfaces import PublicRoute

Json: TypeAlias = dict[str, Any]

TAG = "plugins"
_METHODS = ("GET", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "TRACE")
_KINDS: Mapping[str, Json] = {
    "IntegerConvertor": {"type": "integer", "minimum": 0},
    "FloatConvertor": {"type": "number", "minimum": 0},
    "UUIDConvertor": {"type": "string", "format": "uuid"},
}
_SEPARATOR = re.compile(r"^---\s*$", re.MULTILINE)

log = logging.getLogger("modeld.http")


class _Place(NamedTuple):
    """One method at one path of a plugin; no route where an application is mounted as a whole."""

    path: str
    parameters: Mapping[str, Any]
    route: Route | None = None
    method: str = ""
    endpoint: Any = None


def plugin_paths(
    brought: Iterable[BaseRoute | PublicRoute], failures: Failures, *, keys: bool
) -> Json:
    """The path items of what plugins have brought; WebSockets have none."""
    paths: Json = {}
    names: Counter[str] = Counter()
    for each in brought:
        public = isinstance(each, PublicRoute)
        route = each.route if isinstance(each, PublicRoute) else each
        for place in _places(route, "", {}):
            item = paths.setdefault(place.path, {})
            if place.route is None:
                item |= _unknown(place)
            else:
                errors = gate_errors(keys=keys, public=public, needs_service=not public)
                row = _row(place, failures.of(errors))
                names[row["operationId"]] += 1
                if (count := names[row["operationId"]]) > 1:
                    row["operationId"] += f"_{count}"
                item[place.method.lower()] = row | ({"security": []} if keys and public else {})
    return paths


def _places(route: BaseRoute, prefix: str, outer: Mapping[str, Any]) -> Iterator[_Place]:
    parameters = {**outer, **getattr(route, "param_convertors", {})}
    if isinstance(route, Mount) and not route.routes:
        yield _Place(prefix + route.path_format, parameters)
    elif isinstance(route, Mount):
        del parameters["path"]
        for inner in route.routes:
            below = prefix + route.path_format.removesuffix("/{path}")
            yield from _places(inner, below, parameters)
    elif isinstance(route, Route) and route.include_in_schema:
        for method, endpoint in _endpoints(route):
            yield _Place(prefix + route.path_format, parameters, route, method, endpoint)


def _endpoints(route: Route) -> Iterator[tuple[str, Any]]:
    """The methods of a route with what serves each: a class serves each by a method of its own."""
    for method in _METHODS:
        if route.methods is not None:
            if method in route.methods:
                yield method, route.endpoint
        elif hasattr(route.endpoint, method.lower()):
            yield method, getattr(route.endpoint, method.lower())


def _unknown(place: _Place) -> Json:
    return {
        "summary": "Served by an application that a plugin has mounted",
        "parameters": _parameters(place),
    }


def _row(place: _Place, failed: Json) -> Json:
    summary, description, said = _said(place.endpoint)
    name = place.route.name if place.route else ""
    row: Json = {
        "operationId": f"{name}_{place.method.lower()}",
        "tags": [TAG],
        "summary": summary or f"Served by a plugin: {name}",
    }
    if description:
        row["description"] = description
    row |= said
    own = said.get("parameters")
    row["parameters"] = [
        *_parameters(place),
        *(own if isinstance(own, list) else ()),
        *shared_parameters(),
    ]
    row["responses"] = dict(sorted({**failed, **_answers(said.get("responses"))}.items()))
    return row


def _said(endpoint: Any) -> tuple[str, str, Json]:
    """Summary, description and members of the operation, from a docstring."""
    text, *rest = _SEPARATOR.split(inspect.getdoc(endpoint) or "", maxsplit=1)
    summary, _, description = text.strip().partition("\n")
    return summary, description.strip(), _members(rest[0], endpoint) if rest else {}


def _members(text: str, endpoint: Any) -> Json:
    try:
        members = yaml.safe_load(text)
    except yaml.YAMLError as exc:
        log.warning("the description of %r is no YAML: %s", endpoint, exc)
        return {}
    return members if isinstance(members, dict) else {}


def _answers(said: Any) -> Json:
    """A plugin's answers, with the headers that every answer has."""
    if not isinstance(said, dict):
        said = {"default": {"description": "See the plugin's documentation"}}
    return {str(status): _with_headers(answer) for status, answer in said.items()}


def _with_headers(answer: Any) -> Any:
    if not isinstance(answer, dict) or "$ref" in answer:
        return answer
    return {**answer, "headers": {**(answer.get("headers") or {}), **described_headers(())}}


def _parameters(place: _Place) -> list[Json]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": "part of the address",
            "schema": _KINDS.get(type(convertor).__name__, {"type": "string"}),
        }
        for name, convertor in place.parameters.items()
    ]
