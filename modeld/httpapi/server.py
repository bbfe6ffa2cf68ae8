# SPDX-License-Identifier: GPL-3.0-only
"""Runs an application under uvicorn, from its addresses to an exit code.

uvicorn parses, writes and keeps connections. What it does not do in a way that a model server can
use is done here: its own signal handlers end the process by the signal, and it runs a lifespan's
shutdown only when all connections are closed, which is too late to let running requests finish
while new ones are refused. So the application's start, drain and close are called directly, and
uvicorn gets no lifespan and no signals.

Exit codes: 0 the server was asked to stop and has stopped in order; 1 it was told twice, or would
not end in time; 3 it could not start; 70 a fault of modeld or of a plugin, which is in the log.
2 belongs to the command line, for settings that cannot be used.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

import uvicorn

from modeld.errors import ConfigurationError, ModeldError, StartError
from modeld.httpapi.address import (
    cannot_listen,
    check_exposure,
    listening_sockets,
    parse_addr,
    url,
)
from modeld.httpapi.notify import READY, STOPPING, Notifier
from modeld.httpapi.protocol import protocol_class
from modeld.httpapi.stop_signals import StopSignals
from modeld.settings import Settings

__all__ = ["ServedApp", "check_exposure", "parse_addr", "serve"]

logger = logging.getLogger("modeld.server")

STOPPED, FAILED, NOT_STARTED, INTERNAL_ERROR = 0, 1, 3, 70

KEEP_ALIVE_S = 5
"""How long a connection may stay idle between two requests."""

GRACE_S = 2
"""How long connections have to close after the drain, before they are cut."""

CLOSE_S = 10.0
"""How long the application has to close after the last connection."""

FORCED_CLOSE_S = 1.0
"""How long it has after a second signal."""

_OTHER_FILES = 256


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


def serve(
    app: ServedApp, settings: Settings, *, announce: Callable[[str], None] | None = None
) -> int:
    """Serve ``app`` until the process is told to stop, and return its exit code.

    ``announce`` gets the address once requests are answered there. The first SIGTERM or SIGINT
    lets running requests finish for ``drain_timeout_s`` while new ones are refused; the second
    ends everything at once. Outside the main thread there are no signals, and no end.

    Raises:
        ConfigurationError: the address cannot be used; nothing was started.
    """
    try:
        with StopSignals() as signals, listening_sockets(settings, os.environ) as sockets:
            _allow_open_files(settings.max_connections)
            logging.getLogger("uvicorn.error").addFilter(_is_no_cancellation)
            server = uvicorn.Server(_config(app, settings))
            run = _Run(app, settings, server, sockets, signals)
            with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
                return runner.run(run.to_exit_code(announce or _nobody))
    except ConfigurationError:
        raise
    except StartError as exc:
        sys.stderr.write(f"modeld: error: {exc.message}\n")
        return NOT_STARTED
    except (Exception, BaseExceptionGroup):
        logger.exception("the server has failed")
        return INTERNAL_ERROR


def _nobody(_url: str) -> None:
    """Announce to nobody."""


def _config(app: ServedApp, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=protocol_class(settings),
        ws="none",
        lifespan="off",
        interface="asgi3",
        workers=1,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )


def _is_no_cancellation(record: logging.LogRecord) -> bool:
    """Whether uvicorn's log line is about a fault, and not a request that was cut at the end."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def _allow_open_files(connections: int) -> None:
    """Raise this process's own limit, which is often lower than ``max_connections`` needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + _OTHER_FILES
    if hard != resource.RLIM_INFINITY and hard < wanted:
        logger.warning(
            "the system allows %d open files, max_connections (%d) may need %d; raise ulimit -n",
            hard,
            connections,
            wanted,
        )
        wanted = hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class _Run:
    """One run of a server, from its start to its exit code."""

    def __init__(
        self,
        app: ServedApp,
        settings: Settings,
        server: uvicorn.Server,
        sockets: Sequence[socket.socket],
        signals: StopSignals,
    ) -> None:
        self._app = app
        self._settings = settings
        self._server = server
        self._sockets = list(sockets)
        self._signals = signals
        self._notifier = Notifier(os.environ)

    async def to_exit_code(self, announce: Callable[[str], None]) -> int:
        self._signals.deliver_to(asyncio.get_running_loop())
        in_order = True
        try:
            if await _unless(self._signals.first, self._start()):
                await self._listen()
                announce(url(self._sockets[0]))
                in_order = await self._serve() and await self._disconnect()
        finally:
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
        """Do what uvicorn does before its main loop. A bound address may still be taken here."""
        config = self._server.config
        config.load()
        self._server.lifespan = config.lifespan_class(config)
        try:
            for sock in self._sockets:
                sock.listen(config.backlog)  # uvloop does not tell when this fails
            await self._server.startup(sockets=self._sockets)
        except OSError as exc:
            raise cannot_listen(self._settings.addr, exc) from exc
        self._notifier.send(READY)

    async def _serve(self) -> bool:
        """Serve until the first signal, then while the application drains. Whether it could."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._server.main_loop())
            alive = group.create_task(self._notifier.stay_alive())
            await self._signals.first.wait()
            timeout_s = self._settings.drain_timeout_s
            logger.info("stopping; running requests may go on for %g s", timeout_s)
            self._notifier.send(STOPPING)
            draining = _within(timeout_s + CLOSE_S, "drain", self._app.drain(timeout_s))
            drained = await _unless(self._signals.second, draining)
            self._server.should_exit = True
            alive.cancel()
        return drained

    async def _disconnect(self) -> bool:
        """Stop listening, close idle connections and give the others a moment."""
        closing = _within(CLOSE_S, "disconnect", self._server.shutdown(self._sockets))
        return await _unless(self._signals.second, closing)

    async def _close(self) -> bool:
        """Close the application, then cut what is still connected. Whether it closed in time."""
        forced = self._signals.second
        try:
            if forced.is_set():
                return await _within(FORCED_CLOSE_S, "close", self._app.aclose())
            return await _unless(forced, _within(CLOSE_S, "close", self._app.aclose()))
        finally:
            for connection in list(self._server.server_state.connections):
                connection.transport.abort()


async def _within(limit_s: float, doing: str, work: Coroutine[Any, Any, None]) -> bool:
    """Do ``work``, or give it up after ``limit_s``. Whether it was done."""
    limit = asyncio.timeout(limit_s)
    try:
        async with limit:
            await work
    except TimeoutError:
        if not limit.expired():
            raise
    if limit.expired():
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
