# SPDX-License-Identifier: GPL-3.0-only
"""The entry point of the plugin: its settings, its command and its routes."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from modeld import Command, ModelService, PublicRoute, Settings, hookimpl
from modeld_pull.settings import PullSettings

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from modeld_pull.server.pulls import Pulls


class PullPlugin:
    """Brings ``modeld pull`` and the routes below ``/models``; made anew for each application."""

    def __init__(self) -> None:
        self._pulls: Pulls | None = None

    @hookimpl
    def modeld_register_settings(self) -> type[PullSettings]:
        """Return the settings, which stand under ``pull``."""
        return PullSettings

    @hookimpl
    def modeld_register_commands(self) -> Iterable[Command]:
        """Return ``modeld pull``."""
        return [
            Command(
                name="pull",
                summary="Bring a model from Hugging Face or a URL into the models folder.",
                target="modeld_pull.command:command",
            )
        ]

    @hookimpl
    def modeld_register_routes(
        self, settings: Settings, service: ModelService
    ) -> Iterable[BaseRoute | PublicRoute]:
        """Return the routes; they refuse unless the operator lets clients pull."""
        from modeld_pull.server.routes import PullRoutes  # noqa: PLC0415  (brings the web stack)

        return PullRoutes(settings, self._pulls_of(settings, service)).routes()

    @hookimpl
    def modeld_lifespan(
        self, settings: Settings, service: ModelService
    ) -> AbstractAsyncContextManager[object]:
        """Return what ends all pulls of clients when the service ends."""
        return self._pulls_of(settings, service).opened()

    def _pulls_of(self, settings: Settings, service: ModelService) -> Pulls:
        from modeld_pull.server.pulls import Pulls  # noqa: PLC0415  (asyncio, which the help needs not)

        if self._pulls is None:
            self._pulls = Pulls(settings, service)
        return self._pulls
