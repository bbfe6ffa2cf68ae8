# SPDX-License-Identifier: GPL-3.0-only
"""Finds objects of a JSON body in which one name stands twice.

A decoder takes the last of them, so what the client wrote first would be ignored without a word.
To read each body with a decoder that tells would double the time, so members are counted: if the
value has as many as the body, no name was there twice.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Final, TypeAlias

from modeld.httpapi.exchange.reading.body_shape import BodyShape

Location: TypeAlias = tuple[int | str, ...]

_WORDLESS: Final = frozenset((int, float, bool, type(None)))
_PLAIN: Final = _WORDLESS | {str}
"""What long lists are full of: one look at all of their types is quicker than one at each."""


class _Repeated:
    """Stands for an object in which ``name`` is there twice."""

    def __init__(self, name: str) -> None:
        self.name = name


def repeated_name(body: bytes, value: object, shape: BodyShape) -> Location | None:
    """Return where in ``body``, which says ``value``, a name is repeated; ``None`` if none is."""
    missing = shape.members - _members(value, shape.objects)
    if missing and not shape.is_exact and not _has_escaped_colon(body):
        missing -= _colons_in_texts(value)
    if not missing:
        return None
    return _location_of_repeated(json.loads(body, object_pairs_hook=_object))


def _members(value: object, objects: int) -> int:
    """Return how many members the objects in a value have, of which there are ``objects`` at most.

    A list that is reached after the last object is not looked through: it may be long.
    """
    members = 0
    pending = [value]
    while pending and objects > 0:
        each = pending.pop()
        if isinstance(each, dict):
            members += len(each)
            objects -= 1
            if not _PLAIN.issuperset(map(type, each.values())):
                pending += [part for part in each.values() if type(part) is list]
                pending += [part for part in each.values() if type(part) is dict]
        elif isinstance(each, list) and not _PLAIN.issuperset(map(type, each)):
            pending += [part for part in each if type(part) is list or type(part) is dict]
    return members


def _has_escaped_colon(body: bytes) -> bool:
    """Return whether a text may have a colon that is no colon in the body."""
    return b"\\u003" in body and (b"\\u003a" in body or b"\\u003A" in body)


def _colons_in_texts(value: object) -> int:
    """Return how many colons are in the texts of a value, the names of members among them."""
    colons = 0
    pending = [value]
    while pending:
        each = pending.pop()
        if isinstance(each, str):
            colons += each.count(":")
        elif isinstance(each, dict):
            pending += each
            pending += each.values()
        elif isinstance(each, list):
            pending += [part for part in each if type(part) not in _WORDLESS]
    return colons


def _object(members: list[tuple[str, object]]) -> object:
    """Return an object as it is read, or what stands for it if a name is repeated."""
    found = dict(members)
    if len(found) == len(members):
        return found
    ((name, _),) = Counter(name for name, _ in members).most_common(1)
    return _Repeated(name)


def _location_of_repeated(value: object) -> Location | None:
    pending: list[tuple[Location, Any]] = [((), value)]
    while pending:
        location, each = pending.pop()
        if isinstance(each, _Repeated):
            return (*location, each.name)
        if isinstance(each, list) and _PLAIN.issuperset(map(type, each)):
            continue
        members = each.items() if isinstance(each, dict) else enumerate(each)
        pending += [((*location, at), part) for at, part in members if type(part) not in _PLAIN]
    return None
