# SPDX-License-Identifier: GPL-3.0-only
"""The whole service with some servers, without HTTP in front of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from typing import Any

from modeld_upstream.backend import backends_of
from modeld_upstream.servers import UpstreamServer
from modeld_upstream.source import UpstreamModels

from modeld import (
    Backend,
    Chunk,
    GenerateRequest,
    Message,
    ModelService,
    RegistrySource,
    Settings,
    create_app,
    hookimpl,
)
from modeld.plugins.host import PluginHost


class With:
    """The plugin as it is with these servers in the settings."""

    def __init__(self, *servers: UpstreamServer) -> None:
        self._servers = servers

    @hookimpl
    def modeld_register_sources(self) -> Iterable[RegistrySource]:
        return [UpstreamModels(self._servers)]

    @hookimpl
    def modeld_register_backends(self, settings: Settings) -> Iterable[Backend]:
        return backends_of(self._servers, settings)


@asynccontextmanager
async def service(*servers: UpstreamServer, **members: Any) -> AsyncIterator[ModelService]:
    """Yield a service that has the models of some servers and no others."""
    blocked = ("gguf-folder", "llama-cpp", "upstream")
    settings = Settings(block_plugins=blocked, warm_workers=0, **members)
    app = create_app(settings, PluginHost.discover(settings, {"with": With(*servers)}))
    async with app.lifespan():
        yield app.service


async def asked(service: ModelService, model: str, **members: Any) -> list[Chunk]:
    """Return all chunks of a generation."""
    request = GenerateRequest(
        model=model, **{"messages": (Message(role="user", content="Hi"),)} | members
    )
    async with aclosing(service.generate(request)) as chunks:
        return [chunk async for chunk in chunks]
