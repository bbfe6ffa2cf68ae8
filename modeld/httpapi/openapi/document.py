# SPDX-License-Identifier: GPL-3.0-only
"""The OpenAPI document, made from the route table and from the models of its bodies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, TypeAlias
from urllib.parse import quote

import msgspec
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from modeld.dialects.documents import Content, Header, ResponseDoc
from modeld.errors import ModeldError, UnauthorizedError
from modeld.hosting.daemon_threads import in_daemon_thread
from modeld.httpapi.openapi.failures import (
    ERROR_HEADERS,
    Failures,
    error_examples,
    gate_errors,
)
from modeld.httpapi.openapi.headers import described_headers, header_components
from modeld.httpapi.openapi.parameters import SHARED, described_parameter, shared_parameters
from modeld.httpapi.openapi.plugins import TAG, plugin_paths
from modeld.httpapi.openapi.schemas import reference, schemas
from modeld.httpapi.routes.operations import Operation
from modeld.interfaces import PublicRoute

Json: TypeAlias = dict[str, Any]

TAGS: Mapping[str, str] = {
    "text": "Text from a model.",
    "embeddings and tokens": "What a model does besides writing text.",
    "models": "Which models there are, and which of them are in memory.",
    "state": "How the server is. No request of these loads a model.",
    "description": "This API itself.",
    TAG: "What plugins have brought.",
}
"""The groups of operations, in the order in which they are shown."""

_DESCRIPTION = """\
Serves many local language models inside a memory budget.

Every error is one JSON object (`ErrorBody`) with a stable `reason`. What no operation here says: a
path that is not here is answered with 404 `not_found`, a method that a path does not have with 405
`method_not_allowed` and the header `Allow`, both as the same object.

The schema of `application/x-ndjson` is that of one line, and the schema of `text/event-stream` that
of the data of one event. The header `Accept` chooses among the media types of a response.
"""
_SECURITY: list[Json] = [{"bearer": []}, {"header": []}]
_NO_CACHE = Header(
    name="Cache-Control", value="no-cache", description="caches must check before they use it again"
)
_ANY_DOCUMENT = {
    "type": "object",
    "required": ["openapi", "info", "paths"],
    "properties": {"openapi": {"type": "string", "pattern": r"^3\.1\."}},
}


class OpenApi:
    """Serves the description of ``operations`` and of the routes that plugins have ``brought``.

    ``keys`` says whether requests need an API key.
    """

    def __init__(
        self,
        operations: Sequence[Operation],
        brought: Sequence[BaseRoute | PublicRoute],
        *,
        keys: bool,
    ) -> None:
        self._operations = (*operations, *self.operations())
        self._brought = brought
        self._keys = keys
        self._document: Json | None = None

    async def show(self, request: Request) -> Response:
        """Respond with the document for the address under which the application was reached."""
        if self._document is None:  # the models' schemas take a while, and every request waits
            self._document = await in_daemon_thread(self._make)
        server = {"url": quote(request.scope.get("root_path") or "/")}
        body = msgspec.json.encode({**self._document, "servers": [server]})
        return Response(body, media_type="application/json", headers={"Cache-Control": "no-cache"})

    def operations(self) -> tuple[Operation, ...]:
        """Return the rows of the route table; the second path is modeld-go's."""
        example = {"openapi": "3.1.0", "info": {"title": "modeld", "version": "0.1.0"}, "paths": {}}
        content = Content(media_type="application/json", schema=_ANY_DOCUMENT, example=example)
        described = ResponseDoc(
            status=200, description="This document", contents=(content,), headers=(_NO_CACHE,)
        )
        return tuple(
            Operation(
                method="GET",
                path=path,
                endpoint=self.show,
                name=name,
                tag="description",
                summary=summary,
                responses=(described,),
                needs_service=False,
            )
            for path, name, summary in (
                ("/openapi.json", "openapi", "Describe this API"),
                ("/swagger/doc.json", "swagger_doc", "Describe this API, where modeld-go does"),
            )
        )

    def _make(self) -> Json:
        failures = Failures()
        paths: dict[str, Json] = {}
        for operation in self._operations:
            row = self._row(operation, failures)
            paths.setdefault(operation.path, {})[operation.method.lower()] = row
        names = [operation.name for operation in self._operations]
        brought = plugin_paths(self._brought, failures, keys=self._keys, names=names)
        for path, item in brought.items():
            paths.setdefault(path, {}).update(item)
        document: Json = {
            "openapi": "3.1.0",
            "info": {
                "title": "modeld",
                "version": version("modeld"),
                "summary": "The HTTP API of modeld",
                "description": _DESCRIPTION,
                "license": {
                    "name": "GNU General Public License v3.0 only",
                    "identifier": "GPL-3.0-only",
                },
            },
            "tags": _tags(self._operations),
            "paths": {path: _with_head(item) for path, item in paths.items()},
            "components": self._components(failures),
        }
        if self._keys:
            document["security"] = _SECURITY
        return document

    def _components(self, failures: Failures) -> Json:
        responses = [each for operation in self._operations for each in operation.responses]
        headers = [header for response in responses for header in response.headers]
        components: Json = {
            "schemas": schemas(self._operations),
            "responses": failures.components,
            "examples": error_examples(),
            "headers": header_components((*headers, *ERROR_HEADERS)),
            "parameters": {shared.name: described_parameter(shared) for shared in SHARED},
        }
        if self._keys:
            components["securitySchemes"] = {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            }
        return components

    def _row(self, operation: Operation, failures: Failures) -> Json:
        gate = gate_errors(
            keys=self._keys, public=operation.public, needs_service=operation.needs_service
        )
        row: Json = {
            "operationId": operation.name,
            "tags": [operation.tag],
            "summary": operation.summary,
            "parameters": [
                *map(described_parameter, operation.parameters),
                *shared_parameters(),
            ],
            "responses": _responses(operation, operation.raises + gate, failures),
        }
        if operation.description:
            row["description"] = operation.description
        if operation.body is not None:
            row["requestBody"] = _request_body(operation.body, operation)
        if self._keys and operation.public:
            at_times = [{}, *_SECURITY] if UnauthorizedError in operation.raises else []
            row["security"] = at_times
        return row


def _tags(operations: Sequence[Operation]) -> list[Json]:
    """Return the groups: modeld's own, then those of the plugins' dialects."""
    texts = dict(TAGS)
    for operation in operations:
        if operation.dialect is not None:
            texts.setdefault(operation.tag, f"The dialect `{operation.dialect.name}`.")
    return [{"name": name, "description": text} for name, text in texts.items()]


def _with_head(item: Json) -> Json:
    """Return a path's rows, and one for HEAD where there is GET: the same without a body."""
    if "get" not in item:
        return item
    get = item["get"]
    responses = {
        status: {name: part for name, part in response.items() if name != "content"}
        for status, response in get["responses"].items()
    }
    head = {
        "operationId": f"head_{get['operationId']}",
        "summary": f"{get['summary']}: the head of the response only",
        "responses": responses,
    }
    return {**item, "head": {**get, **head}}


def _request_body(model: type[BaseModel], operation: Operation) -> Json:
    content: Json = {"schema": reference(model)}
    if examples := operation.body_examples:
        content["examples"] = {name: {"value": value} for name, value in examples.items()}
    return {"required": not operation.body_optional, "content": {"application/json": content}}


def _responses(
    operation: Operation, errors: Sequence[type[ModeldError]], failures: Failures
) -> Json:
    responses = failures.of(errors, operation.dialect)
    for each in operation.responses:
        status = str(each.status)
        response = _response(each)
        if status in responses:
            response = _either(response, failures.behind(responses[status]))
        responses[status] = response
    return dict(sorted(responses.items()))


def _response(described: ResponseDoc) -> Json:
    response: Json = {
        "description": described.description,
        "headers": described_headers(described.headers),
    }
    if described.contents:
        response["content"] = {c.media_type: _content(c) for c in described.contents}
    return response


def _either(good: Json, failure: Json) -> Json:
    """Return one status that is a response at one time and a failure at another."""
    return {
        "description": f"{good['description']}; or an error. {failure['description']}",
        "headers": failure["headers"] | good["headers"],
        "content": good["content"] | failure["content"],
    }


def _content(content: Content) -> Json:
    schema = reference(content.model) if content.model else dict(content.schema)
    return {"schema": schema} | ({} if content.example is None else {"example": content.example})
