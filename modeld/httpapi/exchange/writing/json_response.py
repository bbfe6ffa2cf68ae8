# SPDX-License-Identifier: GPL-3.0-only
"""Responses that are one JSON document or one word."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from pydantic import BaseModel
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

_HEADERS = {"Cache-Control": "no-store"}


def document(content: BaseModel) -> Response:
    """Return a JSON document; members that are ``None`` are left out."""
    body = content.model_dump_json(exclude_none=True)
    return Response(body, headers=_HEADERS, media_type="application/json")


class LongDocument(Response):
    """A JSON document that is sent in pieces, so that others have their turn between them."""

    def __init__(self, pieces: Sequence[bytes], headers: Mapping[str, str] = _HEADERS) -> None:
        length = {"Content-Length": str(sum(map(len, pieces)))}
        super().__init__(headers={**headers, **length}, media_type="application/json")
        self.pieces = pieces

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Send all of it."""
        head = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **head})
        for piece in self.pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def word(text: str, status: int = 200) -> Response:
    """Return one word of plain text, for probes.

    The word of a failure is in a header too, as the reason of every error is.
    """
    reason = {"X-Modeld-Reason": text} if status >= 400 else {}
    return PlainTextResponse(text, status, headers=_HEADERS | reason)
