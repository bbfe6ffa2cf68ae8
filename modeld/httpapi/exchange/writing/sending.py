# SPDX-License-Identifier: GPL-3.0-only
"""Sends a response that is known as a whole."""

from __future__ import annotations

import asyncio

from starlette.types import Send

from modeld.dialects import WholeResponse


async def send_whole(response: WholeResponse, send: Send) -> None:
    """Send a whole response; between its pieces others have a turn."""
    headers = {
        "content-type": response.media_type,
        "content-length": str(sum(map(len, response.pieces))),
        "cache-control": "no-store",
        **{name.lower(): value for name, value in response.headers.items()},
    }
    encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": encoded})
    for piece in response.pieces[:-1]:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        await asyncio.sleep(0)
    last = response.pieces[-1] if response.pieces else b""
    await send({"type": "http.response.body", "body": last, "more_body": False})
