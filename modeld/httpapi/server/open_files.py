# SPDX-License-Identifier: GPL-3.0-only
"""Raises the limit on open files, and handles the case that it is reached."""

from __future__ import annotations

import asyncio
import errno
import logging
import resource
from typing import Any, Final

from modeld.httpapi.server.capacity import Capacity, capacity, wanted_files

NOTE_EVERY_S: Final = 10.0
"""How often it is logged that no connection can be accepted."""

_NO_MORE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

logger = logging.getLogger("modeld.server")


def allowed_capacity(max_connections: int) -> Capacity:
    """Raise this process's own limit as far as needed, and return what fits below it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = wanted_files(max_connections)
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    fits = capacity(max_connections, None if soft == resource.RLIM_INFINITY else soft)
    if fits.connections < max_connections:
        logger.warning(
            "the system allows %d open files, so no more than %d connections are taken at once"
            " instead of max_connections (%d); raise ulimit -n to %d",
            soft,
            fits.connections,
            max_connections,
            wanted_files(max_connections),
        )
    return fits


class LoopFaults:
    """The event loop's exception handler: one line now and then where no file can be opened.

    asyncio tries again after a second, and has an error with a traceback for each attempt.
    """

    def __init__(self) -> None:
        self._noted_s = float("-inf")

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log what the loop reports."""
        error = context.get("exception")
        if not (isinstance(error, OSError) and error.errno in _NO_MORE and "socket" in context):
            loop.default_exception_handler(context)
        elif loop.time() - self._noted_s >= NOTE_EVERY_S:
            self._noted_s = loop.time()
            logger.error("no connection can be accepted now: %s", error.strerror)
