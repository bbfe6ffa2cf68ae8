# SPDX-License-Identifier: GPL-3.0-only
"""The service of one application: assembled once, started once, closed once.

Both doors, HTTP and Python, have it from here.
"""

from __future__ import annotations

import asyncio

from modeld.errors import DrainingError, StartError
from modeld.hosting.daemon_threads import in_daemon_thread
from modeld.interfaces import ModelService
from modeld.plugins.host import PluginHost
from modeld.serving.service import LocalService
from modeld.settings import Settings


class Lifetime:
    """From the first start to the close of one service, on one event loop.

    The plugins' lifespans are entered before it starts, and left after it is closed.
    """

    def __init__(self, service: ModelService, plugins: PluginHost) -> None:
        self._service = service
        self._plugins = plugins
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting: asyncio.Task[None] | None = None
        self._running = False
        self._closed = False

    @property
    def service(self) -> ModelService:
        """Return the service itself."""
        return self._service

    async def start(self) -> None:
        """Return when the service runs. All callers share one start; after a failed one, the next
        caller tries again. A caller that is cancelled does not stop it for the others.

        Raises:
            DrainingError: the service was closed.
            StartError: it was started on another event loop.
            ModeldError: whatever the service's own start raises.
        """
        if self._closed:
            raise DrainingError("this application is closed; make another one")
        loop = asyncio.get_running_loop()
        if self._loop is not None and self._loop is not loop:
            raise StartError(
                "this application was started on another event loop;"
                " enter its lifespan, or make one application for each loop"
            )
        if self._running:
            return
        if self._starting is None:
            self._loop = loop
            self._starting = loop.create_task(self._start(), name="modeld-start")
            self._starting.add_done_callback(self._note_start)
        starting = self._starting
        await asyncio.wait([starting])
        if starting.cancelled():
            raise DrainingError("this application was closed while it started")
        await starting

    async def drain(self, timeout_s: float) -> None:
        """Refuse new work and let what runs finish for ``timeout_s``."""
        if self._running:
            await self._service.drain(timeout_s)
        else:
            await self.aclose()

    async def aclose(self) -> None:
        """End everything, a start in progress too. May be called twice."""
        self._closed = True
        if self._starting is not None and not self._starting.done():
            self._starting.cancel()
            await asyncio.wait([self._starting])
        if self._loop is not None:
            try:
                await self._service.aclose()
            finally:
                await self._plugins.aclose()

    async def _start(self) -> None:
        # The local one enters them itself, once it has the memory budget: who is refused that
        # opens nothing.
        if not isinstance(self._service, LocalService):
            await self._plugins.start(self._service, in_daemon_thread)
        await self._service.start()

    def _note_start(self, starting: asyncio.Task[None]) -> None:
        self._running = not starting.cancelled() and starting.exception() is None
        if not self._running:
            self._starting = None


def assembled(settings: Settings, plugins: PluginHost) -> Lifetime:
    """Return the service of this machine, or what a plugin puts in its place; nothing starts.

    Raises:
        ConfigurationError: the settings or the plugins cannot be used.
    """
    return Lifetime(plugins.build_service(lambda: LocalService(settings, plugins)), plugins)
