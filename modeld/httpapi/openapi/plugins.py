# SPDX-License-Identifier: GPL-3.0-only
"""Describes plugins' routes, as far as that is possible without knowing them.

A route's method and path are known. The first line of its endpoint's docstring is the summary, the
lines after it the description. What stands after a line of ``---`` is YAML: members of an OpenAPI
operation (``responses``, ``requestBody``, ``tags`` …) that go before those made here; its
``parameters`` and ``responses`` stand beside them. That is the way of Starlette's own generator.
YAML that cannot be read or used is left out, and the log says why.
"""

from __future__ import annotations

import inspect
import itertools
import logging
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeAlias, TypedDict

import msgspec
import yaml
from starlette.routing import BaseRoute, Mount, Route

from modeld.httpapi.openapi.failures import Failures, gate_errors
from modeld.httpapi.openapi.headers import described_headers
from modeld.httpapi.openapi.parameters import shared_parameters
from modeld.interfaces import PublicRoute

Json: TypeAlias = dict[str, Any]

TAG = "plugins"
_METHODS = ("GET", "PUT", "POST", "DELETE", "OPTIONS", "PATCH", "TRACE")
_KINDS: Mapping[str, Json] = {
    "IntegerConvertor": {"type": "integer", "minimum": 0},
    "FloatConvertor": {"type": "number", "minimum": 0},
    "UUIDConvertor": {"type": "string", "format": "uuid"},
}
_UNKNOWN_RESPONSE: Json = {"default": {"description": "See the plugin's documentation"}}
_SEPARATOR = re.compile(r"^---\s*$", re.MULTILINE)

log = logging.getLogger("modeld.http")


class _Endpoint(NamedTuple):
    """One method at one path of a plugin; no route where an application is mounted as a whole."""

    path: str
    parameters: Mapping[str, Any]
    route: Route | None = None
    method: str = ""
    endpoint: Any = None


class _Response(TypedDict, total=False):
    headers: Json | None


class _Members(TypedDict, total=False):
    """The types on which something here depends; everything else is passed on as it is."""

    operationId: str
    tags: list[str]
    summary: str
    description: str
    parameters: list[Json] | None
    responses: dict[str, _Response]


def plugin_paths(
    brought: Iterable[BaseRoute | PublicRoute],
    failures: Failures,
    *,
    keys: bool,
    names: Iterable[str],
) -> Json:
    """Return the path items of what plugins have brought; WebSockets have none.

    An operation whose name is among ``names``, or another's here, gets one of its own.
    """
    paths: Json = {}
    taken = set(names)
    for each in brought:
        public = isinstance(each, PublicRoute)
        route = each.route if isinstance(each, PublicRoute) else each
        for found in _walk(route, "", {}):
            item = paths.setdefault(found.path, {})
            if found.route is None:
                item |= _unknown(found)
            else:
                errors = gate_errors(keys=keys, public=public, needs_service=not public)
                row = _row(found, failures.of(errors))
                row["operationId"] = name = _free(row["operationId"], taken)
                taken.add(name)
                item[found.method.lower()] = row | ({"security": []} if keys and public else {})
    return paths


def _walk(route: BaseRoute, prefix: str, outer: Mapping[str, Any]) -> Iterator[_Endpoint]:
    parameters = {**outer, **getattr(route, "param_convertors", {})}
    if isinstance(route, Mount) and not route.routes:
        yield _Endpoint(prefix + route.path_format, parameters)
    elif isinstance(route, Mount):
        del parameters["path"]
        for inner in route.routes:
            below = prefix + route.path_format.removesuffix("/{path}")
            yield from _walk(inner, below, parameters)
    elif isinstance(route, Route) and route.include_in_schema:
        for method, endpoint in _endpoints(route):
            yield _Endpoint(prefix + route.path_format, parameters, route, method, endpoint)


def _endpoints(route: Route) -> Iterator[tuple[str, Any]]:
    """Yield the methods of a route with what serves each: a class has a method for each."""
    for method in _METHODS:
        if route.methods is not None:
            if method in route.methods:
                yield method, route.endpoint
        elif hasattr(route.endpoint, method.lower()):
            yield method, getattr(route.endpoint, method.lower())


def _unknown(found: _Endpoint) -> Json:
    return {
        "summary": "Served by an application that a plugin has mounted",
        "parameters": _parameters(found),
    }


def _row(found: _Endpoint, failed: Json) -> Json:
    summary, description, said = _said(found.endpoint)
    name = found.route.name if found.route else ""
    row: Json = {
        "operationId": f"{name}_{found.method.lower()}",
        "tags": [TAG],
        "summary": summary or f"Served by a plugin: {name}",
    }
    if description:
        row["description"] = description
    row |= said
    row["parameters"] = [
        *_parameters(found),
        *(said.get("parameters") or ()),
        *shared_parameters(),
    ]
    responses = said.get("responses") or _UNKNOWN_RESPONSE
    described = {status: _with_headers(response) for status, response in responses.items()}
    row["responses"] = dict(sorted({**failed, **described}.items()))
    return row


def _free(name: str, taken: Collection[str]) -> str:
    numbered = (f"{name}_{count}" for count in itertools.count(2))
    return next(each for each in itertools.chain([name], numbered) if each not in taken)


def _said(endpoint: Any) -> tuple[str, str, Json]:
    """Return summary, description and members of the operation, from a docstring."""
    text, *rest = _SEPARATOR.split(inspect.getdoc(endpoint) or "", maxsplit=1)
    summary, _, description = text.strip().partition("\n")
    members = _members(rest[0], endpoint) if rest else {}
    return summary.removesuffix("."), description.strip(), members


def _members(text: str, endpoint: Any) -> Json:
    """Return what the YAML says, as plain JSON: it knows dates, numbers for keys, and loops."""
    try:
        members: Json = msgspec.json.decode(msgspec.json.encode(yaml.safe_load(text) or {}))
        msgspec.convert(members, _Members)
    except Exception as exc:  # noqa: BLE001  (a plugin's text must not break the document)
        log.warning("the YAML in the docstring of %r is left out: %s", endpoint, exc)
        return {}
    return members


def _with_headers(response: Json) -> Json:
    """Return a plugin's response, with the headers that every response has."""
    if "$ref" in response:
        return response
    return {**response, "headers": {**(response.get("headers") or {}), **described_headers(())}}


def _parameters(found: _Endpoint) -> list[Json]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": "part of the address",
            "schema": _KINDS.get(type(convertor).__name__, {"type": "string"}),
        }
        for name, convertor in found.parameters.items()
    ]
