# SPDX-License-Identifier: GPL-3.0-only
"""Asks a server for its models, on whichever event loop that is wanted."""

from __future__ import annotations

import msgspec

from modeld_upstream.connection.client import UpstreamClient
from modeld_upstream.connection.errors import UpstreamError, error_of, told
from modeld_upstream.servers import MODELS, UpstreamServer
from modeld_upstream.wire.documents import ModelDocument, ModelListDocument


async def models_of(server: UpstreamServer, timeout_s: float) -> list[ModelDocument]:
    """Return the models that a server lists.

    Raises:
        ModeldError: it does not respond, refuses, or sends something else.
    """
    client = UpstreamClient(
        server.name,
        server.url,
        key=server.key(),
        connect_timeout_s=timeout_s,
        stall_timeout_s=timeout_s,
        retry_for_s=0,
    )
    try:
        status, content = await client.get(MODELS, timeout_s)
    finally:
        await client.aclose()
    if status != 200:
        raise error_of(server.name, status, told(content))
    try:
        models = msgspec.json.decode(content, type=ModelListDocument).data
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise UpstreamError(f"server {server.name!r} sent no list of models: {exc}") from exc
    return [each for each in models if each.id]
