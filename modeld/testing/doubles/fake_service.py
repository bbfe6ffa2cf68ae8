# SPDX-License-Identifier: GPL-3.0-only
"""A service without models, for whoever writes what stands in front of one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from modeld import ModelService, ModelSpec
from modeld.errors import ModelNotFoundError
from modeld.requests import AnyUnaryRequest, GenerateRequest, KeepAliveSeconds
from modeld.responses import AnyUnaryResponse, Chunk, Placed, TextResponse
from modeld.status import ModelPlan, PlanOutcome, Readiness, ServiceState, ServiceStatus
from modeld.testing.doubles.scripted import GENERATION, Step, play
from modeld.values import PluginStatus


class FakeService(ModelService):
    """Plays ``script`` for every request: chunks are yielded, errors raised, events waited for.

    ``ends`` gets one word for each request: ``done``, ``left`` or ``failed``. A unary one is served
    with ``unary_response`` once ``unary_gate`` is open, if there is one. ``placed`` is told of
    every request, unless it is ``None``. ``calls`` are the other verbs that were used, with their
    model.
    """

    def __init__(self, *script: Step, models: Sequence[ModelSpec] = ()) -> None:
        self.script = script or GENERATION
        self.specs = models
        self.requests: list[GenerateRequest] = []
        self.unary_requests: list[AnyUnaryRequest] = []
        self.unary_response: AnyUnaryResponse | Exception = TextResponse(text="")
        self.unary_gate: asyncio.Event | None = None
        self.default = ""
        self.placed: Placed | None = None
        self.ends: list[str] = []
        self.calls: list[str] = []
        self.begun = asyncio.Event()
        self.ended = asyncio.Event()
        self.start_gate: asyncio.Event | None = None
        self.start_error: Exception | None = None
        self.load_gate: asyncio.Event | None = None
        self.readiness = Readiness(ready=True, reason="ready")
        self.snapshot = ServiceStatus(
            state=ServiceState.RUNNING,
            instances=(),
            budget_bytes=None,
            held_bytes=0,
            margin_bytes=0,
            loads_total=0,
            evictions_total=0,
            uptime_s=1.0,
        )

    async def start(self) -> None:
        """Wait for ``start_gate`` and raise ``start_error``, if there are any."""
        self.calls.append("start")
        if self.start_gate is not None:
            await self.start_gate.wait()
        if self.start_error is not None:
            raise self.start_error

    async def drain(self, timeout_s: float) -> None:
        """Note that it was called."""
        self.calls.append(f"drain {timeout_s:g}")

    async def aclose(self) -> None:
        """Note that it was called."""
        self.calls.append("aclose")

    async def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        """Play the script."""
        self.requests.append(request)
        self.begun.set()
        chunks = play(self.script, self.ends)
        try:
            async for chunk in chunks:
                yield chunk
        finally:
            await chunks.aclose()
            self.ended.set()

    async def generate_placed(
        self, request: GenerateRequest
    ) -> AsyncGenerator[Placed | Chunk, None]:
        """Yield ``placed``, if there is one, and play the script."""
        if self.placed is not None:
            yield self.placed
        async with aclosing(self.generate(request)) as chunks:
            async for chunk in chunks:
                yield chunk

    async def submit_placed(
        self, request: AnyUnaryRequest
    ) -> tuple[Placed | None, AnyUnaryResponse]:
        """Return ``placed`` with the response."""
        return self.placed, await self.submit(request)

    async def submit(self, request: AnyUnaryRequest) -> AnyUnaryResponse:
        """Return the response once the gate is open, or raise it where it is an error."""
        self.unary_requests.append(request)
        self.begun.set()
        end = "left"
        try:
            if self.unary_gate is not None:
                await self.unary_gate.wait()
            end = "done"
        finally:
            self.ends.append(end)
            self.ended.set()
        if isinstance(self.unary_response, Exception):
            raise self.unary_response
        return self.unary_response

    async def models(self) -> Sequence[ModelSpec]:
        """Return the models that it was made with."""
        return self.specs

    async def default_model(self) -> str:
        """Return ``default``."""
        return self.default

    async def refresh(self) -> Sequence[ModelSpec]:
        """Note that it was called, and return the models."""
        self.calls.append("refresh")
        return self.specs

    async def load(
        self, model: str, *, keep_alive_s: KeepAliveSeconds | None = None, fit: bool = True
    ) -> None:
        """Wait for ``load_gate``, if there is one."""
        self._known(model)
        kept = "" if keep_alive_s is None else f" for {keep_alive_s}"
        as_is = "" if fit else " as configured"
        self.calls.append(f"load {model}{kept}{as_is}")
        self.begun.set()
        try:
            if self.load_gate is not None:
                await self.load_gate.wait()
        except asyncio.CancelledError:
            self.calls.append(f"gave up {model}")
            self.ended.set()
            raise

    async def unload(self, model: str) -> None:
        """Note that it was called."""
        self._known(model)
        self.calls.append(f"unload {model}")

    async def pin(self, model: str, *, pinned: bool) -> None:
        """Note that it was called."""
        self._known(model)
        self.calls.append(f"{'pin' if pinned else 'unpin'} {model}")

    async def plan(self, model: str) -> ModelPlan:
        """Return that it would be loaded at once."""
        self._known(model)
        return ModelPlan(model=model, outcome=PlanOutcome.LOADS, needed_bytes=1 << 20, wait_s=1.0)

    async def status(self) -> ServiceStatus:
        """Return ``snapshot``."""
        return self.snapshot

    async def ready(self, model: str | None = None) -> Readiness:
        """Return ``readiness``."""
        if model is not None:
            self._known(model)
        return self.readiness

    async def plugins(self) -> Sequence[PluginStatus]:
        """Return a good one and a bad one."""
        return (
            PluginStatus(name="good", distribution="d", version="1", state="active"),
            PluginStatus(name="bad", distribution="", version="", state="broken", reason="why"),
        )

    def _known(self, model: str) -> None:
        if model not in {spec.id for spec in self.specs}:
            raise ModelNotFoundError(f"no model {model!r}", field="model")
