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
import sys
from collections.abc import Awaitable, Callable

import uvicorn

from modeld.errors import ConfigurationError, StartError
from modeld.events import Event
from modeld.httpapi.server.address import listening_sockets
from modeld.httpapi.server.capacity import Capacity
from modeld.httpapi.server.open_files import allowed_capacity
from modeld.httpapi.server.protocol import protocol_class
from modeld.httpapi.server.run import Announce, Run, ServedApp
from modeld.httpapi.server.signals import StopSignals
from modeld.settings import Settings

logger = logging.getLogger("modeld.server")

NOT_STARTED, INTERNAL_ERROR = 3, 70

KEEP_ALIVE_S = 5
"""How long a connection may stay idle between two requests."""

GRACE_S = 0.3
"""How long clients have after the drain to take the ends of their responses."""


def serve(
    app: ServedApp,
    settings: Settings,
    *,
    announce: Announce | None = None,
    notify: Callable[[Event], None] = lambda _event: None,
    reload: Callable[[], Awaitable[object]] | None = None,
) -> int:
    """Serve ``app`` until the process is told to stop, and return its exit code.

    ``announce`` gets the address once requests are answered there, ``notify`` what happens to
    connections that come to no request. The first SIGTERM, SIGINT or SIGHUP of a terminal lets
    running requests finish for ``drain_timeout_s`` while new ones are refused; a second SIGTERM or
    SIGINT ends everything at once. Without a terminal, SIGHUP has ``reload`` called. Outside the
    main thread there are no signals, and no end.

    Raises:
        ConfigurationError: the address cannot be used; nothing was started.
    """
    try:
        with StopSignals() as signals, listening_sockets(settings, os.environ) as sockets:
            logging.getLogger("uvicorn.error").addFilter(_is_no_cancellation)
            capacity = allowed_capacity(settings.max_connections)
            server = uvicorn.Server(_config(app, settings, capacity, notify))
            run = Run(app, settings, server, sockets, signals, reload=reload)
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


def _config(
    app: ServedApp, settings: Settings, capacity: Capacity, notify: Callable[[Event], None]
) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=protocol_class(settings, capacity, notify),
        backlog=capacity.accepts,  # which asyncio takes for the connections to accept at once
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
        timeout_graceful_shutdown=GRACE_S,  # type: ignore[arg-type]  # it waits for parts of a second too
    )


def _is_no_cancellation(record: logging.LogRecord) -> bool:
    """Return whether a log line of uvicorn's is about a fault, not a request cut at the end."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))
