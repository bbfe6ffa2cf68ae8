# SPDX-License-Identifier: GPL-3.0-only
"""Serves requests: each finds its model, is checked, gets a slot, is measured and told of."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Final, TypeVar

from msgspec.structs import replace

from modeld.capabilities import check, joined
from modeld.errors import InternalError, ModeldError
from modeld.plugins.host import PluginHost
from modeld.requests import (
    AnyUnaryRequest,
    ApplyTemplateRequest,
    DetokenizeRequest,
    GenerateRequest,
    TokenizeRequest,
)
from modeld.responses import AnyUnaryResponse, Chunk, Done, Placed, TakePiece
from modeld.serving.entries_in_use import EntriesInUse
from modeld.serving.leasing import Lease
from modeld.serving.loader import advice, blamed
from modeld.serving.models.sampling_defaults import SamplingDefaults
from modeld.serving.pool import Pool
from modeld.serving.request_meter import Meter
from modeld.serving.state.model_entry import ModelEntry
from modeld.settings import Settings
from modeld.validation import (
    check_served,
    checked_own_sampling,
    checked_request,
    checked_unary_request,
)
from modeld.values import ModelSpec

UNCOMPUTED: Final = (TokenizeRequest, DetokenizeRequest, ApplyTemplateRequest)
"""Requests for which the model computes nothing; they tell nothing of how long others take."""

R = TypeVar("R", GenerateRequest, AnyUnaryRequest)


class RequestServing:
    """The requests of one service, from their arrival until their clients have their responses.

    ``check_running`` raises where the service takes no requests.
    """

    def __init__(
        self,
        settings: Settings,
        plugins: PluginHost,
        entries: EntriesInUse,
        pool: Pool,
        check_running: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._plugins = plugins
        self._entries = entries
        self._pool = pool
        self._check_running = check_running
        self._sampling = SamplingDefaults(settings)
        self._serves = 0
        self._all_served = asyncio.Event()

    def reconfigure(self, settings: Settings) -> None:
        """Go by other settings from now on; what runs goes on."""
        self._settings = settings
        self._sampling = SamplingDefaults(settings)

    async def generated(
        self, request: GenerateRequest, take: TakePiece, *, tells: bool
    ) -> AsyncGenerator[Placed | Chunk, None]:
        """Yield what the engine produces, and where ``tells`` is set first how it came to its slot.

        Each piece is offered to ``take`` before it is yielded.
        """
        request = checked_request(request)
        async with (
            self._serving(request) as (lease, meter, taken),
            aclosing(
                lease.engine.stream_to(
                    taken,
                    lambda end: lease.give_back(well=isinstance(end, Done)),
                    meter.noting(take),
                )
            ) as chunks,
        ):
            if tells:
                yield meter.placed
            async for chunk in chunks:
                if isinstance(chunk, Done):
                    yield meter.done(chunk)
                else:
                    meter.piece(chunk)
                    yield chunk

    async def submitted(self, request: AnyUnaryRequest) -> tuple[Placed, AnyUnaryResponse]:
        """Return the engine's response, and how the request came to its slot."""
        request = checked_unary_request(request)
        async with self._serving(request) as (lease, meter, taken):
            return meter.placed, meter.responded(await lease.engine.submit(taken))

    async def delivered(self, timeout_s: float) -> None:
        """Wait for clients to take what their engines are done with."""
        self._all_served.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, timeout_s)):
                if self._serves:
                    await self._all_served.wait()

    @asynccontextmanager
    async def _serving(self, request: R) -> AsyncIterator[tuple[Lease, Meter, R]]:
        """Keep the model and a slot until the block ends, and tell observers of it.

        The request comes back as the model's engine takes it.
        """
        meter = Meter(request.request_id)
        # The end is told in every case, a cancelled task included: observers count what has begun
        # and not ended as running.
        try:
            entry, spec = await self._entries.find(request.model, self._check_running)
            checked, generation = self._checked(request, entry, spec), entry.generation
            async with self._pool.lease(
                entry,
                max_wait_s=self._settings.max_wait_s,
                in_forecast=not isinstance(request, UNCOMPUTED),
                keep_alive_s=request.keep_alive_s,
                takes_fitted=request.fit,
            ) as lease:
                fit = "" if lease.fitting is None else lease.fitting.step
                started = meter.started(
                    entry.spec.id,
                    entry.tally,
                    load_s=lease.load_s,
                    placement=lease.placement,
                    fit=fit,
                )
                self._plugins.notify(started)
                if entry.generation != generation:  # other settings have come while it waited
                    checked = self._checked(request, entry, spec)
                with self._served(), blamed(entry, self._plugins.faults.note):
                    yield lease, meter, joined(checked, entry.capabilities)
        except Exception as exc:
            meter.outcome = exc.code if isinstance(exc, ModeldError) else InternalError.code
            raise
        finally:
            self._plugins.notify(meter.ended(self._entries.label(request.model)))

    def _checked(self, request: R, entry: ModelEntry, spec: ModelSpec) -> R:
        """Return a request with the model's defaults, once it is certain that the model serves it.

        Raises:
            ModeldError: it asks for what the model does not serve.
        """
        check(request, entry.capabilities, partial(advice, entry, self._plugins.faults.note))
        if isinstance(request, GenerateRequest):
            check_served(request.sampling, entry.backend.unserved_sampling)
            sampling = self._sampling.applied(request.sampling, spec)
            checked_own_sampling(sampling, entry.backend.sampling_type)
            if sampling is not request.sampling:  # most requests have nothing to take over
                request = replace(request, sampling=sampling)
        return request

    @contextmanager
    def _served(self) -> Iterator[None]:
        """Count a request from when it has the model until its client has taken the response."""
        self._serves += 1
        try:
            yield
        finally:
            self._serves -= 1
            if not self._serves:
                self._all_served.set()
