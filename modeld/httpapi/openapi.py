# SPDX-License-Identifier: GPL-3.0-only
"""The OpenAPI document, made from the route table and from the models that check and answer."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

import msgspec
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from modeld.errors import (
    DrainingError,
    ForbiddenError,
    InternalError,
    InvalidRequestError,
    ModeldError,
    UnauthorizedError,
)
from modeld.httpapi.operations import Answer, Content, Operation, Parameter
from modeld.httpapi.problems import STATUS, ErrorBody

Json: TypeAlias = dict[str, Any]
_Mode: TypeAlias = Literal["validation", "serialization"]

_EVERYWHERE = (InvalidRequestError, ForbiddenError, InternalError)
_REF = "#/components/schemas/{model}"
_REQUEST_ID = {
    "description": "names the request in the server's log; taken over from the request if sane",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$"},
}
_RETRY_AFTER = {
    "description": "seconds after which trying again is likely to help",
    "schema": {"type": "integer", "minimum": 1},
}
_LOGGING = (
    Parameter(
        name="log",
        place="query",
        description="how much is logged about this request; wins over X-Log-Level",
        choices=("off", "error", "info", "debug"),
    ),
    Parameter(
        name="X-Log-Level",
        place="header",
        description="how much is logged about this request",
        choices=("off", "error", "info", "debug"),
    ),
    Parameter(
        name="X-Log-Infer",
        place="header",
        description="1 logs how an answer was made, never what was asked or answered",
        choices=("0", "1"),
    ),
    Parameter(
        name="X-Request-ID",
        place="header",
        description="name for the request in the server's log: letters, digits, . _ -; at most 64",
    ),
)


class OpenApi:
    """Serves the description of ``operations`` and of the plugins' routes."""

    def __init__(
        self, operations: Sequence[Operation], plugin_routes: Sequence[BaseRoute], *, keys: bool
    ) -> None:
        self._operations = (*operations, *self.operations())
        self._plugin_routes = plugin_routes
        self._keys = keys
        self._document: Json | None = None

    async def show(self, request: Request) -> Response:
        """The document for the address under which the application was asked."""
        if self._document is None:
            self._document = self._make()
        server = {"url": quote(request.scope.get("root_path") or "/")}
        body = msgspec.json.encode({**self._document, "servers": [server]})
        return Response(body, media_type="application/json", headers={"Cache-Control": "no-cache"})

    def operations(self) -> tuple[Operation, ...]:
        """The rows of the route table; the second is where the seed has it."""
        return tuple(
            Operation(
                method="GET",
                path=path,
                endpoint=self.show,
                name=name,
                summary="Describe this API",
                answers=(
                    Answer(
                        status=200,
                        description="This document",
                        contents=(Content(media_type="application/json"),),
                    ),
                ),
                needs_service=False,
            )
            for path, name in (("/openapi.json", "openapi"), ("/swagger/doc.json", "swagger_doc"))
        )

    def _make(self) -> Json:
        paths: dict[str, Json] = {}
        for operation in self._operations:
            paths.setdefault(operation.path, {})[operation.method.lower()] = self._row(operation)
        for route in self._plugin_routes:
            if isinstance(route, Route) and route.include_in_schema:
                paths.setdefault(route.path_format, {}).update(_plugin_rows(route))
        components: Json = {"schemas": _schemas(self._operations)}
        document: Json = {
            "openapi": "3.1.0",
            "info": {
                "title": "modeld",
                "version": version("modeld"),
                "description": "Serves many local language models inside a memory budget.",
                "license": {"name": "GPL-3.0-only", "identifier": "GPL-3.0-only"},
            },
            "paths": paths,
            "components": components,
        }
        if self._keys:
            components["securitySchemes"] = {
                "bearer": {"type": "http", "scheme": "bearer"},
                "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            }
            document["security"] = [{"bearer": []}, {"header": []}]
        return document

    def _row(self, operation: Operation) -> Json:
        errors = [*operation.raises, *_EVERYWHERE]
        if self._keys and not operation.public:
            errors.append(UnauthorizedError)
        if operation.needs_service:
            errors.append(DrainingError)
        row: Json = {
            "operationId": operation.name,
            "summary": operation.summary,
            "parameters": [_parameter(p) for p in (*operation.parameters, *_LOGGING)],
            "responses": _responses(operation.answers, errors),
        }
        if operation.description:
            row["description"] = operation.description
        if operation.body is not None:
            row["requestBody"] = _request_body(operation.body, operation.body_examples)
        if self._keys and operation.public:
            row["security"] = []
        return row


def _plugin_rows(route: Route) -> Json:
    """What is known of a plugin's route: its methods, its parameters, its endpoint's docstring."""
    summary = (inspect.getdoc(route.endpoint) or f"Served by a plugin: {route.name}").split("\n")[0]
    parameters = [
        _parameter(Parameter(name=name, place="path", description="part of the address"))
        for name in route.param_convertors
    ]
    return {
        method.lower(): {
            "operationId": f"{route.name}_{method.lower()}",
            "summary": summary,
            "parameters": parameters,
            "responses": {"default": {"description": "See the plugin's documentation"}},
        }
        for method in sorted(route.methods or ())
        if method != "HEAD"
    }


def _parameter(parameter: Parameter) -> Json:
    schema: Json = {"type": "string"}
    if parameter.choices:
        schema["enum"] = list(parameter.choices)
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.place == "path",
        "description": parameter.description,
        "schema": schema,
    }


def _request_body(model: type[BaseModel], examples: Mapping[str, Any]) -> Json:
    content: Json = {"schema": _reference(model)}
    if examples:
        content["examples"] = {name: {"value": value} for name, value in examples.items()}
    return {"required": True, "content": {"application/json": content}}


def _responses(answers: Iterable[Answer], errors: Iterable[type[ModeldError]]) -> Json:
    responses: Json = {}
    by_status: dict[int, list[type[ModeldError]]] = {}
    for error in dict.fromkeys(errors):
        by_status.setdefault(STATUS[error.code], []).append(error)
    for status, classes in sorted(by_status.items()):
        responses[str(status)] = _error_response(status, classes)
    for answer in answers:
        content = {c.media_type: _content(c) for c in answer.contents}
        shared = responses.get(str(answer.status), {}).get("content", {})
        responses[str(answer.status)] = {
            "description": answer.description,
            "headers": {"X-Request-ID": _REQUEST_ID},
            "content": {**shared, **content},
        }
    return responses


def _error_response(status: int, classes: Sequence[type[ModeldError]]) -> Json:
    headers: Json = {"X-Request-ID": _REQUEST_ID}
    if any(cls.retryable for cls in classes):
        headers["Retry-After"] = _RETRY_AFTER
    examples = {
        cls.code: {
            "summary": (inspect.getdoc(cls) or cls.code).split("\n")[0],
            "value": {"error": "…", "code": status, "reason": cls.code},
        }
        for cls in classes
    }
    return {
        "description": ", ".join(examples),
        "headers": headers,
        "content": {"application/json": {"schema": _reference(ErrorBody), "examples": examples}},
    }


def _content(content: Content) -> Json:
    described: Json = {"schema": _reference(content.model) if content.model else {}}
    if content.example is not None:
        described["example"] = content.example
    return described


def _reference(model: type[BaseModel]) -> Json:
    return {"$ref": _REF.format(model=model.__name__)}


def _schemas(operations: Iterable[Operation]) -> Json:
    """The schemas of all models that the operations name, requests as they are checked."""
    contents = [c for operation in operations for a in operation.answers for c in a.contents]
    answers: list[type[BaseModel]] = [ErrorBody]
    answers += [model for content in contents if (model := content.model) is not None]
    bodies = [body for operation in operations if (body := operation.body) is not None]
    asked: list[tuple[type[BaseModel], _Mode]] = [(model, "validation") for model in bodies]
    answered: list[tuple[type[BaseModel], _Mode]] = [(model, "serialization") for model in answers]
    _, definitions = models_json_schema([*asked, *answered], ref_template=_REF)
    schemas: Json = definitions["$defs"]
    return schemas
