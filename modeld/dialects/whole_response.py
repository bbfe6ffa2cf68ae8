# SPDX-License-Identifier: GPL-3.0-only
"""Responses that are known as a whole before they are sent."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import msgspec
from pydantic import BaseModel

from modeld.errors import ModeldError

JSON = "application/json"


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeResponse:
    """A whole response. Long ones are in several ``pieces``, between which others have a turn."""

    pieces: Sequence[bytes]
    status: int = 200
    media_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, content: object, status: int = 200) -> WholeResponse:
        """Return a JSON document; members of a pydantic model that are ``None`` are left out."""
        if isinstance(content, BaseModel):
            return cls(pieces=(content.model_dump_json(exclude_none=True).encode(),), status=status)
        return cls(pieces=(msgspec.json.encode(content),), status=status)


async def listing(
    name: str, items: Iterable[object], per_turn: int, others: Mapping[str, object]
) -> WholeResponse:
    """Return a document of the members ``others`` and then a long array called ``name``.

    It is encoded before any of it is sent, so that what fails meanwhile has its real status, but in
    turns too, each of ``per_turn`` items.
    """
    pieces = [msgspec.json.encode({**others, name: []})[:-2]]
    left = iter(items)
    while batch := list(islice(left, per_turn)):
        comma = b"," if len(pieces) > 1 else b""
        pieces.append(comma + msgspec.json.encode(batch)[1:-1])
        await asyncio.sleep(0)
    return WholeResponse(pieces=[*pieces, b"]}"])


def retry_headers(error: ModeldError) -> dict[str, str]:
    """Return the header that says when to try again, where that is known."""
    if error.retry_after_s is None or not math.isfinite(error.retry_after_s):
        return {}
    return {"Retry-After": str(max(1, math.ceil(error.retry_after_s)))}
