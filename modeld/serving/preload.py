# SPDX-License-Identifier: GPL-3.0-only
"""Loads models when the server starts, one after the other, while it serves already."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

from modeld.errors import BudgetExceededError, DrainingError, ModeldError
from modeld.hosting.daemon_threads import in_daemon_thread
from modeld.serving.entries_in_use import EntriesInUse
from modeld.serving.pool import Pool
from modeld.settings import Settings
from modeld.settings.model_rows import says_anywhere, serving_options_of
from modeld.status import ModelPlan, PlanOutcome
from modeld.values import ModelSpec

log = logging.getLogger("modeld.service")


class Preload:
    """Evicts nobody, and what cannot be loaded keeps neither the others nor the server."""

    def __init__(self, settings: Settings, entries: EntriesInUse, pool: Pool) -> None:
        self._settings = settings
        self._entries = entries
        self._pool = pool
        self._failures: dict[str, str] = {}

    async def run(self, specs: Sequence[ModelSpec], check_open: Callable[[], None]) -> None:
        """Load what the settings name in its order, and then the models whose rows say so."""
        wanted = await in_daemon_thread(lambda: list(self._wanted(specs)))
        for name in dict.fromkeys(wanted):
            try:
                await self._load(name, check_open)
            except DrainingError:
                return
            except ModeldError as exc:
                self._failures[name] = exc.message
                log.error("%r was not loaded at the start: %s", name, exc.message)  # noqa: TRY400  (no bug)

    def errors(self) -> list[str]:
        """Return what could not be loaded and is not there now either, each with the reason."""
        return [
            f"preload of {name!r}: {why}"
            for name, why in self._failures.items()
            if not ((entry := self._entries.known(name)) and entry.ready())
        ]

    def _wanted(self, specs: Sequence[ModelSpec]) -> Iterator[str]:
        yield from self._settings.preload
        for spec in specs if says_anywhere("preload", self._settings) else ():
            if spec.problem is None and serving_options_of(spec, self._settings).preload:
                yield spec.id

    async def _load(self, name: str, check_open: Callable[[], None]) -> None:
        entry = (await self._entries.find(name, check_open)).entry
        _check_free(await self._pool.plan(entry))
        async with self._pool.lease(entry, max_wait_s=self._settings.max_wait_s, needs_slot=False):
            pass


def _check_free(plan: ModelPlan) -> None:
    """Refuse a model for which others would have to leave."""
    if plan.outcome in (PlanOutcome.EVICTS, PlanOutcome.WAITS):
        raise BudgetExceededError(
            f"model {plan.model!r} needs {plan.needed_bytes >> 20} MiB,"
            f" {plan.short_bytes >> 20} MiB more than are free beside what is loaded; preload fewer"
            " models, or raise the budget"
        )
