# SPDX-License-Identifier: GPL-3.0-only
"""What tools say of their arguments, for forms that write them one by one and not as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from modeld.messages import Tool
from modeld_llama_cpp.chat.formats.output import dumped

Schema: TypeAlias = Mapping[str, Any]

NOTHING: Schema = {"type": "object", "properties": {}, "additionalProperties": False}
"""What a tool without parameters takes."""

_PLAIN_OBJECT = frozenset(
    {"type", "properties", "required", "additionalProperties", "$defs", "definitions", "$schema"}
)
_PLAIN_TEXT = frozenset({"type", "title", "description", "default", "examples"})
_ANNOTATIONS = frozenset({"title", "description", "default", "examples", "$id", "$comment"})
_MOST_REFERENCES = 16


def schema_of(tool: Tool) -> Schema:
    """Return the schema of a tool's arguments, to which nothing but objects conforms."""
    schema = NOTHING if tool.parameters is None else tool.parameters
    said = schema.get("type", ["object"])
    if said == "object":
        return schema
    if isinstance(said, list) and "object" in said:
        return {**schema, "type": "object"}  # in its place: it may refer to parts of itself
    return {"allOf": [{"type": "object"}, schema]}


def single_values(tool: Tool) -> dict[str, tuple[Schema, bool]] | None:
    """Return each argument's schema and whether it is required, in their order.

    Nothing is returned where that is not all that the schema says.
    """
    schema = schema_of(tool)
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    if schema.keys() - _PLAIN_OBJECT - _ANNOTATIONS or not isinstance(properties, Mapping):
        return None
    if not isinstance(required, list) or not set(required) <= set(properties):
        return None
    if not properties and schema.get("additionalProperties") is not False:
        return None
    if not _refers_to_definitions_only(schema):
        return None
    definitions = {key: schema[key] for key in ("$defs", "definitions") if key in schema}
    found: dict[str, tuple[Schema, bool]] = {}
    for name, each in properties.items():
        if not isinstance(each, Mapping) or each.keys() & definitions.keys():
            return None
        found[name] = ({**each, **definitions}, name in required)
    return found


def _refers_to_definitions_only(schema: Schema) -> bool:
    """Return whether each part of a schema means the same beside its definitions alone."""
    todo: list[object] = [schema]
    while todo:
        value = todo.pop()
        if isinstance(value, list):
            todo += value
        elif isinstance(value, Mapping):
            todo += value.values()
            reference = str(value.get("$ref", "#/$defs/"))
            named = value.keys() & {"$id", "$anchor", "$dynamicRef", "$recursiveRef"}
            if named or not reference.startswith(("#/$defs/", "#/definitions/")):
                return False
    return True


def is_any_text(schema: Schema) -> bool:
    """Return whether any text conforms to a schema, and nothing else."""
    return schema.get("type") == "string" and not (
        schema.keys() - _PLAIN_TEXT - {"$defs", "definitions"}
    )


def listed_texts(schema: Schema) -> tuple[str, ...] | None:
    """Return the texts that conform to a schema, if it lists them and they have one line each."""
    said = schema.get("enum", [schema["const"]] if "const" in schema else None)
    keys = schema.keys() - _PLAIN_TEXT - {"enum", "const", "$defs", "definitions"}
    if not isinstance(said, list) or not said or keys or schema.keys() >= {"enum", "const"}:
        return None
    texts = tuple(each for each in said if isinstance(each, str) and each == each.strip() != "")
    whole = len(texts) == len(said) and not any("<" in each or "\n" in each for each in texts)
    return texts if whole and schema.get("type", "string") == "string" else None


def is_only_text(schema: Schema) -> bool:
    """Return whether nothing but texts conforms to a schema, as far as it tells by its types."""
    return _types(schema, schema, _MOST_REFERENCES) == {"string"}


def takes_only_text(tool: Tool, name: str) -> bool:
    """Return whether an argument is a text in any case, as far as the schema tells."""
    return _types_of(tool, name) == {"string"}


def as_json(text: str, tool: Tool, name: str) -> str:
    """Return the JSON text of an argument that was written as no JSON."""
    if "string" not in _types_of(tool, name) and text.strip() in _WORDS:
        return _WORDS[text.strip()]
    return dumped(text)


def _types_of(tool: Tool, name: str) -> set[str]:
    properties = schema_of(tool).get("properties")
    schema = properties.get(name) if isinstance(properties, Mapping) else None
    return _types(schema, schema_of(tool), _MOST_REFERENCES)


_WORDS = {"True": "true", "False": "false", "None": "null"}


def _types(schema: object, root: Schema, most: int) -> set[str]:
    """Return the types that a schema is about, none where it does not tell."""
    if not isinstance(schema, Mapping) or not most:
        return set()
    if "$ref" in schema:
        return _types(_target(str(schema["$ref"]), root), root, most - 1)
    if "type" in schema:
        said = schema["type"]
        return {said} if isinstance(said, str) else {each for each in said if isinstance(each, str)}
    for key in ("enum", "const"):
        if key in schema:
            values = (
                schema[key] if key == "enum" and isinstance(schema[key], list) else [schema[key]]
            )
            return {"string" if isinstance(each, str) else "other" for each in values}
    choices = schema.get("anyOf") or schema.get("oneOf") or []
    return set().union(*(_types(each, root, most - 1) or {"other"} for each in choices))


def _target(reference: str, root: Schema) -> object:
    found: object = root
    for step in reference.removeprefix("#").strip("/").split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(found, Mapping) or name not in found:
            return None
        found = found[name]
    return found
