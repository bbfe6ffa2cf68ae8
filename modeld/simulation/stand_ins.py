# SPDX-License-Identifier: GPL-3.0-only
"""Stand-ins for a backend, an engine and the future of a request, for the scheduler."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import TypeAlias

from modeld.errors import ModeldError
from modeld.interfaces import Backend, Engine, EngineHost
from modeld.requests import GenerateRequest
from modeld.responses import Chunk
from modeld.serving.state.ticket import Running
from modeld.simulation.workload import ModelFacts
from modeld.values import ModelSpec, Options

Told: TypeAlias = Callable[[Running | ModeldError], None]
"""Is told that a request has its slot, or why it never will."""


class SimulatedBackend(Backend):
    """Is named in entries and asked for nothing: the driver says when a load ends."""

    name = "simulation"

    def can_load(self, spec: ModelSpec) -> bool:  # noqa: ARG002  (as the interface has it)
        """Return whether it loads the model: all of them."""
        return True

    async def load(self, spec: ModelSpec, options: Options, host: EngineHost) -> Engine:
        """Load nothing.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError


class SimulatedEngine(Engine):
    """A loaded model that has a size and slots, and lives until it is closed."""

    def __init__(self, facts: ModelFacts) -> None:
        self.slots = facts.slots
        self.held_bytes = facts.held_bytes

    def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        """Generate nothing.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError

    async def aclose(self) -> None:
        """End the engine, of which there is nothing."""


class Promise:
    """Stands for the future that wakes a request, and tells the driver at once.

    It has what :class:`~modeld.serving.state.ticket.Ticket` uses of a future. One of asyncio's
    would need a loop, and a turn of it for each request.
    """

    __slots__ = ("_is_done", "_told")

    def __init__(self, told: Told) -> None:
        self._told = told
        self._is_done = False

    def done(self) -> bool:
        """Return whether the request was granted, refused or given up."""
        return self._is_done

    def set_result(self, running: Running) -> None:
        """Note that the request has its slot."""
        self._is_done = True
        self._told(running)

    def set_exception(self, error: ModeldError) -> None:
        """Note that the request was refused."""
        self._is_done = True
        self._told(error)

    def cancel(self) -> bool:
        """Give the request up; return whether it still waited."""
        waited, self._is_done = not self._is_done, True
        return waited

    def cancelled(self) -> bool:
        """Return that nobody need look at an error for it not to be logged."""
        return True
