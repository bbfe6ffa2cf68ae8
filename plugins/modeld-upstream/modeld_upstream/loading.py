# SPDX-License-Identifier: GPL-3.0-only
"""Reaches a server that runs elsewhere, or starts one, and makes an engine of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from modeld import Finding
from modeld.errors import LoadFailedError, ModeldError, WorkerCrashedError
from modeld_upstream.connection.client import UpstreamClient
from modeld_upstream.connection.engine import UpstreamEngine
from modeld_upstream.connection.health import until_reached, until_started
from modeld_upstream.limits import Limits
from modeld_upstream.options import UpstreamOptions
from modeld_upstream.servers import MODELS, UpstreamServer
from modeld_upstream.spawning.command import Filling, filled
from modeld_upstream.spawning.memory import held_bytes
from modeld_upstream.spawning.ports import HOST, Ports, is_free
from modeld_upstream.spawning.process import ServerProcess

TRIES: Final = 3
"""How many ports a start tries where somebody else takes them meanwhile."""

Progress: TypeAlias = Callable[[float], None]


class _PortTakenError(Exception):
    """Somebody else listens on the port by now; ``error`` is how the server has ended."""

    def __init__(self, error: ModeldError) -> None:
        super().__init__(error.message)
        self.error = error


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be loaded: a model on a server, as its options say."""

    server: UpstreamServer
    model: str
    options: UpstreamOptions
    limits: Limits
    progress: Progress

    @property
    def declared_bytes(self) -> int | None:
        """Return what the operator says that the model holds, if anything; it may be nothing."""
        memory_mb = self.options.memory_mb
        return None if memory_mb is None else memory_mb << 20


async def attached(wanted: Wanted) -> UpstreamEngine:
    """Return the engine of a model on a server that runs elsewhere, once that responds.

    Raises:
        ModeldError: it cannot be reached, does not let modeld in, or does not get ready.
    """
    server = wanted.server
    client = _client(server, server.url, wanted.limits)
    try:
        start = wanted.limits.start_of(server, asyncio.get_running_loop().time())
        await until_reached(client, server, start, wanted.progress)
    except BaseException:
        await client.aclose()
        raise
    return UpstreamEngine(
        client,
        server,
        wanted.model,
        slots=wanted.options.slots,
        held_bytes=wanted.declared_bytes or 0,
    )


async def started(wanted: Wanted, ports: Ports) -> UpstreamEngine:
    """Start a server and return its engine, once it is ready.

    Raises:
        ModeldError: it has ended, stalls or takes too long, or there is no port.
    """
    for _ in range(TRIES - 1):
        try:
            return await _started_once(wanted, ports)
        except _PortTakenError:
            continue
    try:
        return await _started_once(wanted, ports)
    except _PortTakenError as exc:
        raise exc.error from exc


async def reached(server: UpstreamServer, limits: Limits) -> Finding:
    """Return whether a server that runs elsewhere can be reached, for ``modeld doctor``."""
    subject = f"server {server.name}"
    try:
        client = _client(server, server.url, limits)
    except ModeldError as exc:
        return Finding(subject=subject, level="error", message=exc.message, fix="set another key")
    try:
        status, _ = await client.get(server.health_path)
        if status < 500 and status not in {401, 403} and server.health_path != MODELS:
            status, _ = await client.get(MODELS)  # that alone says whether url and key are right
    except ModeldError as exc:
        fix = "start it, or set its url to where it is"
        return Finding(subject=subject, level="warning", message=exc.message, fix=fix)
    finally:
        await client.aclose()
    said = f"it responds at {server.url} with HTTP status {status}"
    if status in {401, 403}:
        fix = "set its key_file or key_env"
        return Finding(subject=subject, level="error", message=said, fix=fix)
    if status == 404:
        said = f"it has no list of models at {server.url}{MODELS}"
        fix = "see to its url, which mostly ends in /v1; or it has no list, then all is well"
        return Finding(subject=subject, level="warning", message=said, fix=fix)
    return Finding(subject=subject, level="ok", message=said)


async def _started_once(wanted: Wanted, ports: Ports) -> UpstreamEngine:
    server, options = wanted.server, wanted.options
    port = ports.claim(*server.ports)
    try:
        filling = Filling(
            model=wanted.model, port=port, context=options.context, slots=options.slots
        )
        command = filled(server.command, filling)
        process = await ServerProcess.start(server.name, command, server.environment)
    except BaseException:
        ports.release(port)
        raise
    process.exited.add_done_callback(lambda _exited: ports.release(port))
    try:
        return await _served_by(process, port, wanted)
    except BaseException as exc:
        process.kill()
        await process.aclose(0)
        if isinstance(exc, WorkerCrashedError):
            raise _ended(exc, port) from exc
        raise


async def _served_by(process: ServerProcess, port: int, wanted: Wanted) -> UpstreamEngine:
    """Return the engine on a server that has begun to start, once it is ready."""
    server, limits = wanted.server, wanted.limits
    url = f"http://{HOST}:{port}/v1"
    client = _client(server, url, limits, lambda: not process.exited.done())
    try:
        start = limits.start_of(server, asyncio.get_running_loop().time())
        await until_started(client, server, process, start, wanted.progress)
        held = wanted.declared_bytes
        if held is None:
            held = await asyncio.to_thread(held_bytes, process.pid)
    except BaseException:
        await client.aclose()
        raise
    return UpstreamEngine(
        client,
        server,
        wanted.model,
        slots=wanted.options.slots,
        process=process,
        held_bytes=held,
    )


def _ended(crash: WorkerCrashedError, port: int) -> Exception:
    """Return the failure of a start whose server has ended."""
    error = LoadFailedError(crash.message)
    error.log_tail = crash.log_tail
    return error if is_free(port) else _PortTakenError(error)


def _client(
    server: UpstreamServer,
    url: str,
    limits: Limits,
    is_alive: Callable[[], bool] = lambda: True,
) -> UpstreamClient:
    return UpstreamClient(
        server.name,
        url,
        key=server.key(),
        connect_timeout_s=server.connect_timeout_s,
        stall_timeout_s=server.stall_timeout_s or limits.stall_s,
        retry_for_s=server.retry_for_s,
        is_alive=is_alive,
    )
