# SPDX-License-Identifier: GPL-3.0-only
"""The real application around a service without models, with one plugin in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import entry_points
from typing import Any, Final

from modeld import ModeldApp, ModelService, ModelSpec, Settings, create_app, hookimpl
from modeld.testing.doubles.fake_service import FakeService
from modeld.testing.doubles.scripted import Step, sound_response

NEEDED: Final = frozenset({"cost-aware", "lru", "ndjson", "sse", "plain-json"})
"""The installed plugins that every application needs."""

MODEL: Final = ModelSpec(
    id="little.gguf",
    name="Little",
    path="/models/little.gguf",
    size_bytes=1 << 20,
    weights_bytes=1 << 20,
    context_length=2048,
    capabilities=("text", "chat", "embed", "rerank", "tokenize", "template"),
    context=2048,
)
"""The model that the service has, and that requests without one go to."""


class ObligingService(FakeService):
    """Knows every model, and responds to each unary request with what is due."""

    def __init__(self, *script: Step) -> None:
        super().__init__(*script, models=(MODEL,))
        self.default = MODEL.id

    async def submit(self, request: Any) -> Any:
        """Return a response of the kind that is due."""
        self.unary_response = sound_response(request)
        return await super().submit(request)

    def _known(self, model: str) -> None:
        """Know every model: the examples of a plugin name what they like."""


class _Around:
    """Puts the service in the local one's place."""

    def __init__(self, service: ModelService) -> None:
        self._service = service

    @hookimpl
    def modeld_build_service(self) -> ModelService:
        return self._service


def make_app(service: ModelService, plugin: object, **settings: Any) -> ModeldApp:
    """Return the application with no other plugin than this one and what it cannot do without."""
    installed = {entry.name for entry in entry_points(group="modeld")}
    found = Settings(block_plugins=tuple(sorted(installed - NEEDED)), **settings)
    return create_app(found, {"plugin-under-test": plugin, "kit": _Around(service)})


@asynccontextmanager
async def serving(plugin: object, service: ModelService | None = None) -> AsyncIterator[ModeldApp]:
    """Yield the started application, which is closed at the end."""
    app = make_app(service or ObligingService(), plugin)
    async with app.lifespan():
        yield app
