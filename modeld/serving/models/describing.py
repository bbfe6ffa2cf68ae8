# SPDX-License-Identifier: GPL-3.0-only
"""Has backends describe the models of an index; a backend may hang."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from modeld.hosting.daemon_threads import submit
from modeld.serving.models.model_index import ModelIndex, undescribed
from modeld.values import ModelSpec

DESCRIBE_LIMIT_S = 5.0
"""How long the backends have to say what the models can be asked for, before they are listed."""

log = logging.getLogger("modeld.registry")


class Describer:
    """Fills in what the models of an index can be asked for, on one thread at most.

    ``described`` returns a model with what its backend says of it; it may hang. Of a model that is
    as it was, what was said before counts. ``on_late`` is called with an index that was described
    after nobody waited for it any more.
    """

    def __init__(
        self,
        described: Callable[[ModelSpec], ModelSpec],
        on_late: Callable[[ModelIndex], None],
    ) -> None:
        self._described = described
        self._on_late = on_late
        self._said: dict[str, tuple[ModelSpec, ModelSpec]] = {}
        self._describing: asyncio.Future[None] | None = None

    def forget(self) -> None:
        """Let nothing count that was said before."""
        self._said = {}

    async def describe(self, index: ModelIndex) -> None:
        """Fill in what the models can be asked for; where a backend hangs, later or never."""
        if self._describing is not None and not self._describing.done():
            index.describe(self._as_before)
            return  # it still hangs, and takes one thread only
        self._describing = describing = asyncio.wrap_future(submit(partial(self._fill, index)))
        await asyncio.wait({describing}, timeout=DESCRIBE_LIMIT_S)
        if describing.done():
            describing.result()
        else:
            log.error("the backends have not said what the models can be asked for: one hangs")
            describing.add_done_callback(partial(self._note_described, index))

    def _fill(self, index: ModelIndex) -> None:
        before, said = self._said, {}

        def described(spec: ModelSpec) -> ModelSpec:
            known = before.get(spec.id)
            # A backend that has said nothing may have failed, and is asked again.
            if known is None or known[0] != spec or not known[1].capabilities:
                known = spec, self._described(spec)
            said[spec.id] = known
            return known[1]

        index.describe(described)
        self._said = said

    def _as_before(self, spec: ModelSpec) -> ModelSpec:
        """Return a model with what was said of it before, if anything was."""
        known = self._said.get(spec.id)
        return known[1] if known is not None and known[0] == spec else undescribed(spec)

    def _note_described(self, index: ModelIndex, describing: asyncio.Future[None]) -> None:
        if not describing.cancelled() and describing.exception() is None:
            self._on_late(index)
