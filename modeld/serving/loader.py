# SPDX-License-Identifier: GPL-3.0-only
"""Has backends load and measure models, and stops those that take too long."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from modeld.errors import LoadFailedError
from modeld.events import Event, ModelLoadProgress
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
        loop = asyncio.get_running_loop()
        limit_s = self._timeout_s
        try:
            async with asyncio.timeout(limit_s) as silence:

                def on_progress(fraction: float) -> None:
                    silence.reschedule(loop.time() + limit_s)
                    self._notify(ModelLoadProgress(model=place.spec.id, fraction=fraction))

                host = self._hosting.engine_host(on_progress)
                engine = await place.backend.load(instance.spec, place.options, host)
        except TimeoutError:
            if silence.expired():
                raise LoadFailedError(f"the load made no progress for {limit_s:g} s") from None
            raise
        return await _checked(engine, place.backend.name)

    async def measure(self, place: Place) -> int | None:
        """The bytes that the backend measures, or ``None`` where it cannot."""
        model, limit_s = place.spec.id, self._timeout_s
        host = self._hosting.engine_host(lambda _fraction: None)
        try:
            async with asyncio.timeout(limit_s):
                measured = await place.backend.measure(place.spec, place.options, host)
            size_bytes = measured.total_bytes if measured is not None else None
        except Exception as exc:  # noqa: BLE001  (the load will tell what is wrong)
            log.warning("%s was not measured, its estimate counts: %r", model, exc)
            return None
        if size_bytes is not None:
            estimated_mb = place.need.estimated_bytes >> 20
            log.info("%s: %d MiB measured, %d estimated", model, size_bytes >> 20, estimated_mb)
        return size_bytes


async def _checked(engine: object, backend: str) -> Engine:
    slots = getattr(engine, "slots", None)
    if isinstance(engine, Engine) and isinstance(slots, int) and slots >= 1:
        return engine
    if isinstance(engine, Engine):
        await engine.aclose()
    raise LoadFailedError(f"backend {backend!r} returned {engine!r}, not an engine with slots")
