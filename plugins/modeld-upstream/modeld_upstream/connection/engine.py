# SPDX-License-Identifier: GPL-3.0-only
"""A model on a server of another make, as the event loop sees it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Final

from modeld import Chunk, Engine, GenerateRequest
from modeld.errors import DrainingError, ModeldError, WorkerCrashedError
from modeld.requests import AnyUnaryRequest
from modeld.responses import AnyUnaryResponse
from modeld_upstream.connection.client import UpstreamClient
from modeld_upstream.connection.errors import UpstreamLostError, UpstreamStalledError
from modeld_upstream.connection.health import is_well
from modeld_upstream.connection.heartbeat import Heartbeat
from modeld_upstream.connection.unary import submitted
from modeld_upstream.servers import UpstreamServer
from modeld_upstream.spawning.process import CLOSED, ServerProcess
from modeld_upstream.wire.bodies import generation
from modeld_upstream.wire.events import END
from modeld_upstream.wire.generation import Generation

NOTICED_S: Final = 0.5
"""How long after a connection has broken its server may be found dead, which explains it."""


NEARLY: Final = 0.9
"""The part of the longest silence that counts as one: clocks are read at different moments."""


class UpstreamEngine(Engine):
    """Passes requests on to a server, as many at once as there are slots.

    With a ``process`` the server was started for this model, and ends with the engine.
    """

    def __init__(
        self,
        client: UpstreamClient,
        server: UpstreamServer,
        model: str,
        *,
        slots: int,
        process: ServerProcess | None = None,
        held_bytes: int = 0,
    ) -> None:
        self.slots = slots
        self.held_bytes = held_bytes
        self.pid = None if process is None else process.pid
        self._client = client
        self._server = server
        self._model = model
        self._process = process
        self._is_closing = False
        self._running = 0
        self._due_s = 0.0
        """Since when something is due from the server without a break."""

        self._heartbeat = Heartbeat(server.name, self._is_well, server.health_interval_s)

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        """Pass the request on, and each event of the response as it comes."""
        path, body = generation(request, self._server.kind_of_server, self._model)
        reading = Generation(request, self._server.name)
        is_complete = False
        async with (
            self._serving(),
            aclosing(self._client.events(path, body, request.request_id)) as events,
        ):
            async for event in events:
                if event == END:
                    is_complete = True
                    break
                for piece in reading.pieces(event):
                    yield piece
            if not (is_complete or reading.has_ended):
                raise UpstreamLostError(
                    f"server {self._server.name!r} ended in the middle of a generation"
                )
        yield reading.done()

    async def submit(self, request: AnyUnaryRequest) -> AnyUnaryResponse:
        """Pass a unary request on and return what comes back."""
        async with self._serving():
            return await submitted(request, self._client, self._server, self._model)

    async def aclose(self) -> None:
        """Close all connections and end the server, if it was started for this model."""
        self._is_closing = True
        try:
            await self._heartbeat.aclose()
            await self._client.aclose()
            if self._process is not None:
                await self._process.aclose(self._server.stop_timeout_s)
        except BaseException:
            if self._process is not None:
                self._process.kill()  # whoever is cancelled here cannot wait for it to end well
            raise

    async def wait_exited(self) -> WorkerCrashedError:
        """Wait until the server has ended or is gone, and return how."""
        ends = {self._heartbeat.gone}
        if self._process is not None:
            ends.add(self._process.exited)
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()

    def failure(self) -> WorkerCrashedError | None:
        """Return how the server has ended, or that it is gone."""
        if self._process is not None and self._process.failure() is not None:
            return self._process.failure()
        return self._heartbeat.gone.result() if self._heartbeat.gone.done() else None

    def log_tail(self) -> tuple[str, ...]:
        """Return the server's last lines, if it was started here."""
        return () if self._process is None else self._process.output.tail()

    @asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        """Count a request, and explain why its connection has broken, as far as that is known.

        Raises:
            WorkerCrashedError: the server has ended or hangs.
            DrainingError: the engine is closed.
        """
        if self._is_closing or self.failure() is not None:
            raise self._ending()
        if not self._running:
            self._due_s = asyncio.get_running_loop().time()
        self._running += 1
        try:
            yield
        except UpstreamStalledError as exc:
            # Where other requests go on, it is this one alone that the server has forgotten.
            sign_s = max(self._due_s, self._client.heard_s)
            silence_s = asyncio.get_running_loop().time() - sign_s
            if silence_s >= self._client.stall_timeout_s * NEARLY:
                self._heartbeat.give_up(f"hangs: nothing has come from it for {silence_s:.3g} s")
            raise self._ending(exc) from exc
        except UpstreamLostError as exc:
            if self._process is not None and not self._is_closing:
                await self._process.ended_within(NOTICED_S)
            raise self._ending(exc) from exc
        finally:
            self._running -= 1

    async def _is_well(self) -> bool:
        """Return whether the server responds. While a request runs, that says so itself: some
        servers respond to nothing else meanwhile."""
        return self._running > 0 or await is_well(self._client, self._server)

    def _ending(self, otherwise: ModeldError | None = None) -> ModeldError:
        """Return what has ended the engine: that it was closed, unless it had died before."""
        failure = self.failure()
        if failure is not None and failure.cause != CLOSED:
            return failure
        if self._is_closing or otherwise is None:
            return DrainingError("the server is shutting down")
        return otherwise
