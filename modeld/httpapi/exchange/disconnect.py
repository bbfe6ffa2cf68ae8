# SPDX-License-Identifier: GPL-3.0-only
"""Ends work for a client that is no longer there.

Only a task of its own on ``receive()`` sees a client leave in every stage and under every host:
sends do not fail, servers do not cancel, and ``request.is_disconnected()`` stays false under a
host's ``BaseHTTPMiddleware``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

T = TypeVar("T")

_TRAILING_MESSAGES = 3

log = logging.getLogger("modeld.http")


class ClientLeft(Exception):  # noqa: N818  (nothing is wrong: the client has every right to leave)
    """The client closed its connection before its response was complete."""


async def watch_client(receive: Receive, is_answered: Callable[[], bool] = lambda: False) -> None:
    """Wait until the client leaves, and throw a body away that nobody has read.

    A server also reports a disconnect once the response is complete; ``is_answered`` tells the two
    apart. Some hosts hand out the body again and again without ever waiting: after a few such
    messages there is nothing to learn from them, and the watch ends.

    Raises:
        ClientLeft: always when it leaves before it is answered.
    """
    for _ in range(_TRAILING_MESSAGES):
        message = await receive()
        while message.get("more_body", False):
            message = await receive()
        if message["type"] == "http.disconnect":
            if not is_answered():
                raise ClientLeft
            return


async def run_guarded(work: Coroutine[Any, Any, T], *guards: Coroutine[Any, Any, None]) -> T:
    """Run ``work`` in the current task and return its result; the first guard to raise cancels it.

    What a guard or the work raises comes out as it is, never in an exception group.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(guard) for guard in guards]
            result = await work
            for task in tasks:
                task.cancel()  # or the group would wait until the client leaves
    except BaseExceptionGroup as failed:
        cause, *others = failed.exceptions
        for other in others:
            log.exception("while giving up a request: %s", other, exc_info=other)
        raise cause from cause.__cause__
    return result
