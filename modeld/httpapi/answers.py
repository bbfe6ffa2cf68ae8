# SPDX-License-Identifier: GPL-3.0-only
"""Answers that are one JSON document or one word."""

from __future__ import annotations

from pydantic import BaseModel
from starlette.responses import PlainTextResponse, Response

_HEADERS = {"Cache-Control": "no-store"}


def document(content: BaseModel) -> Response:
    """A JSON document; members that are ``None`` are left out."""
    body = content.model_dump_json(exclude_none=True)
    return Response(body, headers=_HEADERS, media_type="application/json")


def word(text: str, status: int = 200) -> Response:
    """One word of plain text, for probes."""
    return PlainTextResponse(text, status, headers=_HEADERS)
