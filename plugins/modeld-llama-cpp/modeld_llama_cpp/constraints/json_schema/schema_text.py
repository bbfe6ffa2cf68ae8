# SPDX-License-Identifier: GPL-3.0-only
"""What a JSON schema may have at all, and where in it something is."""

from __future__ import annotations

from typing import Any, TypeAlias

from modeld_llama_cpp.constraints.problem import ConstraintError

MAX_DEPTH = 64
MAX_NODES = 20_000

Json: TypeAlias = Any
Schema: TypeAlias = dict[str, Json]

TYPES = ("object", "array", "string", "integer", "number", "boolean", "null")

MAX_EXACT = 2**53
"""Whole numbers beyond this one are not told apart by what computes with doubles."""


def check_size(schema: Json) -> None:
    """Check that a schema is neither too deep nor too large.

    Raises:
        ConstraintError: it is.
    """
    nodes, level = 0, [schema]
    for _ in range(MAX_DEPTH):
        inner: list[Json] = []
        for value in level:
            inner += value.values() if isinstance(value, dict) else value
        level = [each for each in inner if isinstance(each, dict | list)]
        nodes += len(level)
        if nodes > MAX_NODES:
            raise ConstraintError(f"$: more than {MAX_NODES} objects and arrays")
        if not level:
            return
    raise ConstraintError(f"$: more than {MAX_DEPTH} objects and arrays inside one another")


def inside(path: str, key: str) -> str:
    """Return the path of what an object has under a key."""
    plain = key.isascii() and key.replace("_", "a").replace("$", "a").isalnum()
    return f"{path}.{key}" if plain else f"{path}[{key[:80]!a}]"


def object_of(value: Json, path: str) -> Schema:
    """Return a value that must be an object."""
    if not isinstance(value, dict):
        raise ConstraintError(f"{path}: must be an object")
    return value


def list_of(value: Json, path: str) -> list[Json]:
    """Return a value that must be a list with something in it."""
    if not isinstance(value, list) or not value:
        raise ConstraintError(f"{path}: must be a list that is not empty")
    return value


def names_of(value: Json, path: str) -> list[str]:
    """Return a value that must be a list of texts, each once."""
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ConstraintError(f"{path}: must be a list of texts")
    return list(dict.fromkeys(whole(each, path) for each in value))


def types_of(value: Json, path: str) -> list[str]:
    """Return the types that ``type`` names."""
    names = names_of(value if isinstance(value, list) else [value], path)
    for name in names:
        if name not in TYPES:
            raise ConstraintError(f"{path}: {name[:80]!a} is none of {', '.join(TYPES)}")
    if not names:
        raise ConstraintError(f"{path}: the list is empty")
    return names


def check_order(found: Schema, low: str, high: str, path: str) -> None:
    """Check that an upper bound is not below a lower one, where there are both."""
    if low in found and high in found and found[low] > found[high]:
        raise ConstraintError(
            f"{path}.{high}: {found[high]:g} is less than `{low}`, which is {found[low]:g}"
        )


def count_of(value: Json, path: str) -> int:
    """Return a number of characters, items or properties."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ConstraintError(f"{path}: must be a whole number from 0 on")
    return value


def number_of(value: Json, path: str) -> int | float:
    """Return a number that arithmetic with doubles keeps as it is."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ConstraintError(f"{path}: must be a number")
    if abs(value) > MAX_EXACT and int(float(value)) != value:
        raise ConstraintError(f"{path}: {value} has more digits than a double keeps")
    return value


def text_of(value: Json, path: str) -> str:
    """Return a value that must be a text."""
    if not isinstance(value, str):
        raise ConstraintError(f"{path}: must be a text")
    return value


def whole(text: str, path: str) -> str:
    """Return a text that has no halves of surrogate pairs."""
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise ConstraintError(f"{path}: a text has half of a surrogate pair")
    return text
