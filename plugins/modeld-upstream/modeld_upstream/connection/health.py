# SPDX-License-Identifier: GPL-3.0-only
"""Whether a server is there and ready."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from modeld.errors import LoadFailedError
from modeld_upstream.connection.client import UpstreamClient
from modeld_upstream.connection.errors import UpstreamError, UpstreamLostError, error_of, told
from modeld_upstream.servers import UpstreamServer
from modeld_upstream.spawning.process import ServerProcess
from modeld_upstream.spawning.readiness import Start

POLL_S: Final = 0.05


async def is_well(client: UpstreamClient, server: UpstreamServer) -> bool:
    """Return whether the server responds, and not with an error of its own."""
    status, _ = await _health(client, server)
    return status is not None and status < 500


async def until_started(
    client: UpstreamClient,
    server: UpstreamServer,
    process: ServerProcess,
    start: Start,
    progress: Callable[[float], None],
) -> None:
    """Wait until a server that was started here is ready.

    Raises:
        WorkerCrashedError: it has ended.
        LoadFailedError: it stalls or takes too long; ``log_tail`` has its last lines.
    """
    clock = asyncio.get_running_loop().time
    while (failure := process.failure()) is None:
        status = await _health_unless_ended(client, server, process)
        # A stranger may have taken the port meanwhile; then the server has ended, or is about to.
        if status is not None and 200 <= status < 300 and not process.exited.done():
            progress(1.0)
            return
        if start.note(status, process.output.seen_bytes, clock()):
            progress(0.0)
        try:
            start.check(clock())
        except LoadFailedError as exc:
            exc.log_tail = process.output.tail()
            raise
        await process.ended_within(POLL_S)
    raise failure


async def until_reached(
    client: UpstreamClient, server: UpstreamServer, start: Start, progress: Callable[[float], None]
) -> None:
    """Wait until a server that runs elsewhere responds; one that starts may take its time.

    Raises:
        UpstreamLostError: it cannot be reached.
        LoadFailedError: it stalls or takes too long.
        UpstreamRefusedError: it does not let modeld in.
    """
    clock = asyncio.get_running_loop().time
    until_s = clock() + server.retry_for_s
    while True:
        status, said = await _health(client, server)
        if status in {401, 403}:
            raise error_of(server.name, status, told(said))
        if status is not None and status < 500:
            return
        if status is None and clock() >= until_s:
            raise UpstreamLostError(said.decode(), retry_after_s=1.0)
        if start.note(status, 0, clock()):
            progress(0.0)
        start.check(clock())
        await asyncio.sleep(POLL_S)


async def _health_unless_ended(
    client: UpstreamClient, server: UpstreamServer, process: ServerProcess
) -> int | None:
    """Return the status of the server's health; what has ended is not waited for."""
    looking = asyncio.create_task(_health(client, server))
    try:
        ends: set[asyncio.Future[Any]] = {looking, process.exited}
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        return looking.result()[0] if looking.done() else None
    finally:
        looking.cancel()


async def _health(client: UpstreamClient, server: UpstreamServer) -> tuple[int | None, bytes]:
    """Return status and body of the server's health, or ``None`` and why there is no response."""
    try:
        return await client.get(server.health_path)
    except UpstreamError as exc:
        return None, exc.message.encode()
