# SPDX-License-Identifier: GPL-3.0-only
"""Reads the query parameters that a route takes, each at most once."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from starlette.datastructures import QueryParams
from starlette.types import Scope

from modeld.errors import InvalidRequestError
from modeld.expectation import nearest

_LONGEST_SHOWN: Final = 64
_LONGEST_NUMBER: Final = 9


def check_query(scope: Scope, known: Collection[str]) -> None:
    """Refuse what would be ignored.

    Raises:
        InvalidRequestError: a parameter is none of ``known``, or is there twice; it is named.
    """
    if not scope["query_string"]:
        return
    seen: set[str] = set()
    for name, _ in QueryParams(scope["query_string"]).multi_items():
        if name not in known:
            shown = name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}…"
            hint = nearest(shown, list(known)) or f"; there is {', '.join(sorted(known))}"
            raise InvalidRequestError(f"{shown}: unknown query parameter{hint}", field=shown)
        if name in seen:
            raise InvalidRequestError(f"{name}: is in the query twice; send it once", field=name)
        seen.add(name)


def whole_number(query: QueryParams, name: str, least: int, most: int) -> int | None:
    """Return the value of a parameter, or ``None`` where it is not in the query.

    Raises:
        InvalidRequestError: it is no whole number of this range.
    """
    text = query.get(name)
    if text is None:
        return None
    if text.isascii() and text.isdigit() and len(text) < _LONGEST_NUMBER:
        number = int(text)
        if least <= number <= most:
            return number
    raise InvalidRequestError(
        f"{name}: must be a whole number from {least} to {most}, got {text[:32]!r}", field=name
    )
