# SPDX-License-Identifier: GPL-3.0-only
"""One run of a server: the application starts, serves until a signal, drains and closes."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeAlias

import uvicorn

from modeld.errors import ConfigurationError, ModeldError, StartError
from modeld.hosting.daemon_threads import DaemonExecutor
from modeld.hosting.tasks import leave_behind
from modeld.httpapi.server.address import cannot_listen, url
from modeld.httpapi.server.open_files import LoopFaults
from modeld.httpapi.server.signals import StopSignals
from modeld.httpapi.server.systemd import READY, STOPPING, Notifier
from modeld.settings import Settings

logger = logging.getLogger("modeld.server")

STOPPED, FAILED = 0, 1

CLOSE_S = 10.0
"""How long the application has to close after the last connection."""

FORCED_CLOSE_S = 1.0
"""How long it has after a second signal."""

WAITING_CONNECTIONS = 2048
"""How many connections the kernel keeps until they are accepted."""

Announce: TypeAlias = Callable[[str], Awaitable[None] | None]
"""Says to somebody where requests are answered."""

_SWITCH_INTERVAL_S = 0.0005
"""How long a thread that computes, in a scan for example, keeps the event loop waiting each time.
Python's own 5 ms count several times for each token."""


class ServedApp(Protocol):
    """An ASGI application whose start and end are in the hands of the server."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one connection."""

    async def start(self) -> None:
        """Get ready to serve."""

    async def drain(self, timeout_s: float) -> None:
        """Refuse new work, let what runs finish for ``timeout_s``, then end the rest."""

    async def aclose(self) -> None:
        """End everything at once. May be called twice."""


class Run:
    """One run of a server, from its start to its exit code."""

    def __init__(
        self,
        app: ServedApp,
        settings: Settings,
        server: uvicorn.Server,
        sockets: Sequence[socket.socket],
        signals: StopSignals,
        *,
        reload: Callable[[], Awaitable[object]] | None,
    ) -> None:
        self._app = app
        self._settings = settings
        self._server = server
        self._sockets = list(sockets)
        self._signals = signals
        self._reload = reload
        self._notifier = Notifier(os.environ)

    async def to_exit_code(self, announce: Announce) -> int:
        """Run to the end, and return the exit code."""
        loop = asyncio.get_running_loop()
        self._signals.deliver_to(loop)
        loop.set_exception_handler(LoopFaults())
        # Else a plugin's hanging call would forbid the end.
        loop.set_default_executor(DaemonExecutor())
        sys.setswitchinterval(_SWITCH_INTERVAL_S)
        in_order = True
        try:
            if await _unless(self._signals.first, self._start()):
                _freeze_garbage()
                await self._listen()
                if (saying := announce(url(self._sockets[0]))) is not None:
                    await saying
                in_order = await self._serve() and await self._disconnect()
        finally:
            # Also after a start that failed or was given up: workers may be there already.
            closed = await self._close()
        return STOPPED if in_order and closed else FAILED

    async def _start(self) -> bool:
        try:
            await self._app.start()
        except (ConfigurationError, StartError):
            raise
        except ModeldError as exc:
            raise StartError(f"cannot start the service: {exc.message}") from exc
        except Exception as exc:
            logger.exception("the service has failed to start")
            raise StartError(f"cannot start the service: {type(exc).__name__}: {exc}") from exc
        return True

    async def _listen(self) -> None:
        """Do what uvicorn does before its main loop; a bound address may still be taken here."""
        config = self._server.config
        config.load()
        self._server.lifespan = config.lifespan_class(config)
        try:
            for sock in self._sockets:
                sock.listen(WAITING_CONNECTIONS)  # uvloop does not tell when this fails
            await self._server.startup(sockets=self._sockets)
            for sock in self._sockets:
                sock.listen(WAITING_CONNECTIONS)  # again, for uvicorn has set it to its backlog
        except OSError as exc:
            raise cannot_listen(self._settings.addr, exc) from exc
        self._notifier.send(READY)

    async def _serve(self) -> bool:
        """Serve until the first signal and while the application drains; return whether it did."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._server.main_loop())
            alive = group.create_task(self._notifier.stay_alive())
            reloading = group.create_task(self._reload_when_told())
            await self._signals.first.wait()
            timeout_s = self._settings.drain_timeout_s
            logger.info("stopping; running requests may go on for %g s", timeout_s)
            self._notifier.send(STOPPING)
            draining = _within(timeout_s + CLOSE_S, "drain", self._app.drain(timeout_s))
            drained = await _unless(self._signals.second, draining)
            # Not before: until the drain is over new requests are accepted, to be refused by name.
            self._server.should_exit = True
            alive.cancel()
            reloading.cancel()
        return drained

    async def _reload_when_told(self) -> None:
        while True:
            await self._signals.reload.wait()
            self._signals.reload.clear()
            try:
                if self._reload is not None:
                    await self._reload()
            except ModeldError as exc:  # of the settings, which is in the log and in /status
                logger.debug("no reload: %s", exc.message)
            except Exception:
                logger.exception("the reload has failed")

    async def _disconnect(self) -> bool:
        """Stop listening, close idle connections, and return whether the others ended in time."""
        closing = _within(CLOSE_S, "disconnect", self._server.shutdown(self._sockets))
        return await _unless(self._signals.second, closing)

    async def _close(self) -> bool:
        """Close the application, cut what is left, and return whether it closed in time."""
        forced = self._signals.second
        try:
            if forced.is_set():
                return await _within(FORCED_CLOSE_S, "close", self._app.aclose())
            return await _unless(forced, _within(CLOSE_S, "close", self._app.aclose()))
        finally:
            for connection in list(self._server.server_state.connections):
                connection.transport.abort()
            await leave_behind()


async def _within(limit_s: float, doing: str, work: Coroutine[Any, Any, None]) -> bool:
    """Do ``work``, or give it up after ``limit_s``, and return whether it was done."""
    limit = asyncio.timeout(limit_s)
    try:
        async with limit:
            await work
    except TimeoutError:
        if not limit.expired():
            raise
    if limit.expired():  # also where the work has swallowed its cancellation
        logger.error("the application did not %s within %g s", doing, limit_s)
    return not limit.expired()


async def _unless(told: asyncio.Event, work: Coroutine[Any, Any, bool]) -> bool:
    """Do ``work`` and return its result, or give it up and return false when ``told`` is set."""
    doing = asyncio.ensure_future(work)
    waiting = asyncio.ensure_future(told.wait())
    try:
        await asyncio.wait((doing, waiting), return_when=asyncio.FIRST_COMPLETED)
        return doing.done() and await doing
    finally:
        doing.cancel()
        waiting.cancel()
        await asyncio.gather(doing, waiting, return_exceptions=True)


def _freeze_garbage() -> None:
    """Let the collector pass over all that there is at the start, which stays.

    A full collection holds up every stream, for 40 ms with what a server is made of alone, and a
    large body is enough to begin one.
    """
    gc.collect()
    gc.freeze()
