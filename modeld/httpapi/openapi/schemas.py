# SPDX-License-Identifier: GPL-3.0-only
"""The JSON schemas of requests and responses, as the OpenAPI document has them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, models_json_schema
from pydantic_core.core_schema import IntSchema

from modeld.httpapi.exchange.problems import ErrorBody
from modeld.httpapi.routes.operations import Operation

Json: TypeAlias = dict[str, Any]
_Mode: TypeAlias = Literal["validation", "serialization"]

_REF = "#/components/schemas/{model}"
_NULL = {"type": "null"}


class _Generator(GenerateJsonSchema):
    """Pydantic's own, for those who make clients from the document."""

    def field_title_should_be_set(self, schema: object) -> bool:  # noqa: ARG002
        """Return false: a title would become the name of a type for each field that may be null."""
        return False

    def int_schema(self, schema: IntSchema) -> Json:
        """Return the schema with a width: sizes in bytes exceed the 32 bits that many assume."""
        return super().int_schema(schema) | {"format": "int64"}


def reference(model: type[BaseModel]) -> Json:
    """Return what stands for the schema of ``model``."""
    return {"$ref": _REF.format(model=model.__name__)}


def schemas(operations: Iterable[Operation]) -> Json:
    """Return the schemas of all models that the operations name, requests as they are checked."""
    operations = tuple(operations)
    contents = [c for operation in operations for r in operation.responses for c in r.contents]
    sent: list[type[BaseModel]] = [ErrorBody]
    sent += {o.dialect.error_body for o in operations if o.dialect is not None} - {ErrorBody}
    sent += [model for content in contents if (model := content.model) is not None]
    bodies = [body for operation in operations if (body := operation.body) is not None]
    responses = {n: _never_null(s) for n, s in _definitions(sent, "serialization").items()}
    return dict(sorted((_definitions(bodies, "validation") | responses).items()))


def _definitions(models: Iterable[type[BaseModel]], mode: _Mode) -> Json:
    _, document = models_json_schema(
        [(model, mode) for model in models], ref_template=_REF, schema_generator=_Generator
    )
    definitions: Json = document["$defs"]
    return definitions


def _never_null(schema: Json) -> Json:
    """Return a response's schema: what may be missing is left out instead of being null."""
    if "properties" not in schema:
        return schema
    there = schema.get("required", ())
    members = {n: p if n in there else _present(p) for n, p in schema["properties"].items()}
    return schema | {"properties": members}


def _present(schema: Json) -> Json:
    kinds = [kind for kind in schema.get("anyOf", ()) if kind != _NULL]
    if len(kinds) != 1:
        return schema
    kept: Json = {name: value for name, value in schema.items() if name not in {"anyOf", "default"}}
    kept |= kinds[0]
    return kept
