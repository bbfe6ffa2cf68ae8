# SPDX-License-Identifier: GPL-3.0-only
"""What a JSON schema may have at all, and where in it something is."""

from __future__ import annotations

from typing import TypeAlias

from modeld_llama_cpp.rules import MAX_REPEATS, GrammarError

MAX_DEPTH = 32
MAX_NODES = 2_000
MAX_REFERENCE = 64

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
Schema: TypeAlias = dict[str, Json]

TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")

_HINTS = {
    "object": ("properties", "required", "additionalProperties"),
    "array": ("items", "prefixItems", "minItems", "maxItems"),
    "string": ("minLength", "maxLength", "pattern", "format"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"),
}
"""Keywords that tell which type is meant where none is named."""

ANNOTATIONS = frozenset(
    {
        "title", "description", "default", "examples", "example", "deprecated", "readOnly",
        "writeOnly", "discriminator", "$schema", "$id", "$comment", "$anchor", "$defs",
        "definitions", "contentEncoding", "contentMediaType",
    }
)  # fmt: skip

_HARMLESS = {
    "uniqueItems": False,
    "minProperties": 0,
    "minContains": 0,
    "unevaluatedProperties": False,
    "unevaluatedItems": False,
}
"""Keywords that are not supported, and a value with which they ask for nothing."""

_UNSUPPORTED = frozenset(
    {
        "not", "if", "then", "else", "patternProperties", "propertyNames", "minProperties",
        "maxProperties", "uniqueItems", "dependentRequired", "dependentSchemas", "dependencies",
        "contains", "minContains", "maxContains", "multipleOf", "unevaluatedProperties",
        "unevaluatedItems", "additionalItems", "$dynamicRef", "$recursiveRef",
    }
)  # fmt: skip


def check_size(schema: Json) -> None:
    """Check that a schema is neither too deep nor too large.

    Raises:
        GrammarError: it is.
    """
    nodes, todo = 0, [(schema, 1)]
    while todo:
        value, depth = todo.pop()
        if not isinstance(value, dict | list):
            continue
        nodes += 1
        if depth > MAX_DEPTH:
            raise GrammarError(f"$: more than {MAX_DEPTH} objects and arrays inside one another")
        if nodes > MAX_NODES:
            raise GrammarError(f"$: more than {MAX_NODES} objects and arrays")
        inner = value.values() if isinstance(value, dict) else value
        todo += ((each, depth + 1) for each in inner)


def check_keywords(schema: Schema, path: str) -> None:
    """Check that nothing is asked for that would be left out.

    Keywords that the standard does not know ask for nothing.

    Raises:
        GrammarError: something is.
    """
    for keyword in schema.keys() & _UNSUPPORTED:
        if keyword not in _HARMLESS or schema[keyword] != _HARMLESS[keyword]:
            raise GrammarError(f"{path}.{keyword}: this keyword is not supported")


def inside(path: str, key: str) -> str:
    """The path of what an object has under a key."""
    plain = key.isascii() and key.replace("_", "a").replace("$", "a").isalnum()
    return f"{path}.{key}" if plain else f"{path}[{key[:80]!a}]"


def count(schema: Schema, keyword: str, path: str) -> int | None:
    """A number of characters or items."""
    value = schema.get(keyword)
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise GrammarError(f"{path}.{keyword}: must be a number from 0 to {MAX_REPEATS}")
    if value > MAX_REPEATS:
        raise GrammarError(f"{path}.{keyword}: {value:g} is more than {MAX_REPEATS}")
    return value


def counts(schema: Schema, least: str, most: str, path: str) -> tuple[int, int | None]:
    """Bounds for a number of characters or items."""
    low, high = count(schema, least, path) or 0, count(schema, most, path)
    if high is not None and high < low:
        raise GrammarError(f"{path}.{most}: {high} is less than `{least}`, which is {low}")
    return low, high


def object_of(value: Json, path: str) -> Schema:
    """A value that must be an object."""
    if not isinstance(value, dict):
        raise GrammarError(f"{path}: must be an object")
    return value


def list_of(value: Json, path: str) -> list[Json]:
    """A value that must be a list with something in it."""
    if not isinstance(value, list) or not value:
        raise GrammarError(f"{path}: must be a list that is not empty")
    return value


def names_of(value: Json, path: str) -> list[str]:
    """A value that must be a list of texts."""
    if not isinstance(value, list):
        raise GrammarError(f"{path}: must be a list of texts")
    names = [each for each in value if isinstance(each, str)]
    if len(names) != len(value):
        raise GrammarError(f"{path}: must be a list of texts")
    return names


def types_of(schema: Schema, path: str) -> tuple[str, ...]:
    """The types that a schema names, or all."""
    if "type" not in schema:
        return TYPES
    given = schema["type"]
    names = names_of(given if isinstance(given, list) else [given], f"{path}.type")
    for name in names:
        if name not in TYPES:
            raise GrammarError(f"{path}.type: {name[:80]!a} is none of {', '.join(TYPES)}")
    if not names:
        raise GrammarError(f"{path}.type: the list is empty")
    if "number" in names:
        names = [name for name in names if name != "integer"]
    return tuple(dict.fromkeys(names))


def meant_types(schema: Schema, path: str) -> tuple[str, ...]:
    """The types that a schema names, or that its keywords are for; none if it does not tell."""
    if "type" in schema:
        return types_of(schema, path)
    return tuple(kind for kind, keywords in _HINTS.items() if schema.keys() & keywords)


def whole(text: str, path: str) -> str:
    """A text that has no halves of surrogate pairs."""
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise GrammarError(f"{path}: a text has half of a surrogate pair")
    return text


def target(root: Json, reference: Json, path: str) -> Json:
    """What a reference inside the schema refers to."""
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        raise GrammarError(f"{path}: only references inside the schema (`#/…`) are supported")
    found = root
    for step in reference.split("/")[1:]:
        key = _unquoted(step).replace("~1", "/").replace("~0", "~")
        if isinstance(found, dict) and key in found:
            found = found[key]
        elif isinstance(found, list) and key.isdecimal() and int(key[:9]) < len(found):
            found = found[int(key[:9])]
        else:
            raise GrammarError(f"{path}: there is nothing at {reference[:200]!a}")
    return found


def _unquoted(text: str) -> str:
    """A text in which ``%41`` stands for ``A``, as in addresses."""
    first, *rest = text.split("%")
    try:
        data = first.encode() + b"".join(
            bytes.fromhex(each[:2]) + each[2:].encode() for each in rest
        )
        return data.decode()
    except ValueError:
        return text
