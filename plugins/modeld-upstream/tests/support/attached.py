# SPDX-License-Identifier: GPL-3.0-only
"""Engines on servers that run already."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

from modeld_upstream import loading
from modeld_upstream.limits import Limits
from modeld_upstream.loading import Wanted
from modeld_upstream.options import UpstreamOptions
from modeld_upstream.servers import UpstreamServer

from modeld import Chunk, Done, Engine, GenerateRequest, Message

LIMITS = Limits(load_s=30.0, stall_s=30.0)
CHAT = GenerateRequest(messages=(Message(role="user", content="Hi"),))


def wanted(server: UpstreamServer, model: str, limits: Limits = LIMITS) -> Wanted:
    """Return what is to be loaded, whose progress nobody looks at."""
    return Wanted(
        server=server,
        model=model,
        options=UpstreamOptions(),
        limits=limits,
        progress=lambda _done: None,
    )


@asynccontextmanager
async def attached(url: str, model: str = "some-model", **members: Any) -> AsyncIterator[Engine]:
    """Yield the engine of a model on a server, which is not looked at now and then."""
    given: dict[str, Any] = {"name": "there", "url": url, "health_interval_s": 0, "retry_for_s": 5}
    server = UpstreamServer(**given | members)
    engine = await loading.attached(wanted(server, model))
    try:
        yield engine
    finally:
        await engine.aclose()


async def generated(engine: Engine, request: GenerateRequest = CHAT) -> list[Chunk]:
    """Return all chunks of a generation."""
    async with aclosing(engine.generate(request)) as chunks:
        return [chunk async for chunk in chunks]


def text_of(chunks: list[Chunk]) -> str:
    """Return the text, without reasoning and calls."""
    return "".join(getattr(chunk, "text", "") for chunk in chunks)


def end_of(chunks: list[Chunk]) -> Done:
    """Return the end of a generation."""
    end = chunks[-1]
    assert isinstance(end, Done)
    return end
