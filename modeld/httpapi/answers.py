# SPDX-License-Identifier: GPL-3.0-only
"""Answers that are one JSON document or one word."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from itertools import islice

import msgspec
from pydantic import BaseModel
from starlette.responses import PlainTextResponse, Response

_HEADERS = {"Cache-Control": "no-store"}


def document(content: BaseModel) -> Response:
    """A JSON document; members that are ``None`` are left out."""
    body = content.model_dump_json(exclude_none=True)
    return Response(body, headers=_HEADERS, media_type="application/json")


def encoded(content: Mapping[str, object]) -> Response:
    """A JSON document that is long enough for its parts to be encoded one by one."""
    body = msgspec.json.encode(content)
    return Response(body, headers=_HEADERS, media_type="application/json")


async def array(items: Iterable[object], per_turn: int) -> msgspec.Raw:
    """A part of such a document: a JSON array, encoded in turns so that others have theirs."""
    parts: list[bytes] = []
    left = iter(items)
    while batch := list(islice(left, per_turn)):
        parts.append(msgspec.json.encode(batch)[1:-1])
        await asyncio.sleep(0)
    return msgspec.Raw(b"[" + b",".join(parts) + b"]")


def word(text: str, status: int = 200) -> Response:
    """One word of plain text, for probes."""
    return PlainTextResponse(text, status, headers=_HEADERS)
