# SPDX-License-Identifier: GPL-3.0-only
"""Has backends load, measure and close models, and stops loads that take too long."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from modeld.errors import LoadFailedError
from modeld.events import Event, ModelLoading, ModelLoadProgress
from modeld.hosting.host import Hosting
from modeld.interfaces import Engine
from modeld.serving.instance import Instance, Place

log = logging.getLogger("modeld.loader")


class Loader:
    """``timeout_s`` bounds a load's time without progress, and a whole measurement."""

    def __init__(
        self, hosting: Hosting, *, timeout_s: float, notify: Callable[[Event], None]
    ) -> None:
        self._hosting = hosting
        self._timeout_s = timeout_s
        self._notify = notify

    async def load(self, place: Place, instance: Instance) -> Engine:
        """Run the backend's load for as long as it makes progress.

        Raises:
            Exception: whatever the backend raises; the load has failed.
        """
        model, needed_mb = place.spec.id, place.need.size_bytes >> 20
        log.info("loading %s with %s, %d MiB expected", model, place.backend.name, needed_mb)
        self._notify(ModelLoading(model=model))
        loop = asyncio.get_running_loop()
        limit_s = self._timeout_s
        try:
            async with asyncio.timeout(limit_s) as silence:

                def on_progress(fraction: float) -> None:
                    silence.reschedule(loop.time() + limit_s)
                    self._notify(ModelLoadProgress(model=model, fraction=fraction))

                host = self._hosting.engine_host(on_progress)
                engine = await place.backend.load(instance.spec, place.options, host)
        except TimeoutError:
            if silence.expired():
                raise LoadFailedError(f"the load made no progress for {limit_s:g} s") from None
            raise
        return await _checked(engine, place.backend.name)

    async def measure(self, place: Place) -> int | None:
        """The bytes that the backend measures, or ``None`` where it cannot.

        Raises:
            Exception: whatever the backend raises; nothing was measured.
        """
        limit_s = self._timeout_s
        host = self._hosting.engine_host(lambda _fraction: None)
        try:
            async with asyncio.timeout(limit_s) as limit:
                measured = await place.backend.measure(place.spec, place.options, host)
        except TimeoutError:
            if limit.expired():
                raise LoadFailedError(f"the measurement took longer than {limit_s:g} s") from None
            raise
        if measured is None:
            return None
        measured_mb, estimated_mb = measured.total_bytes >> 20, place.need.estimated_bytes >> 20
        log.info("%s: %d MiB measured, %d estimated", place.spec.id, measured_mb, estimated_mb)
        return measured.total_bytes


async def _checked(engine: object, backend: str) -> Engine:
    slots = getattr(engine, "slots", None)
    if isinstance(engine, Engine) and isinstance(slots, int) and slots >= 1:
        return engine
    if isinstance(engine, Engine):
        await engine.aclose()
    raise LoadFailedError(f"backend {backend!r} returned {engine!r}, not an engine with slots")


async def close(place: Place, engine: Engine) -> None:
    """Close an engine and keep its last words. One that fails is gone all the same."""
    try:
        place.log_tail = engine.log_tail()
        await engine.aclose()
    except Exception:
        log.exception("engine of %r did not close cleanly", place.spec.id)
