# SPDX-License-Identifier: GPL-3.0-only
"""The entry point of the plugin: the pages under ``/ui``, and the feed that they read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from modeld import Observer, PublicRoute, hookimpl
from modeld_dashboard.feed import Feed

if TYPE_CHECKING:
    from starlette.routing import BaseRoute


class DashboardPlugin:
    """Brings the pages under ``/ui``; made anew for each application."""

    def __init__(self) -> None:
        self.feed = Feed()

    @hookimpl
    def modeld_register_observers(self) -> Iterable[Observer]:
        """Bring the observer that remembers what the pages show."""
        return [self.feed]

    @hookimpl
    def modeld_register_routes(self) -> Iterable[BaseRoute | PublicRoute]:
        """Bring the feed, which needs a key where there are keys, and the pages, which do not."""
        from modeld_dashboard.routes import Dashboard  # noqa: PLC0415  (brings the web stack)

        return Dashboard(self.feed).routes()
