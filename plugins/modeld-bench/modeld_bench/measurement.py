# SPDX-License-Identifier: GPL-3.0-only
"""A whole run: finds the server, warms it up, measures level after level."""

from __future__ import annotations

import gc
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeAlias

from modeld.terminal import Show, count_text
from modeld_bench.apis.api import Api
from modeld_bench.apis.discovery import NotMeasurableError, discover
from modeld_bench.client import Client, http_client
from modeld_bench.level import End, Level
from modeld_bench.outcome import MESSAGE_CHARS, Failed
from modeld_bench.plan import Plan
from modeld_bench.reports.summary import Summary, summarise

Display: TypeAlias = Callable[[str], AbstractContextManager[Show]]
"""Shows a person one part of the work, by its name, and how far it is."""


class Measurement:
    """Keeps what was measured, so that it is there when the run is interrupted."""

    def __init__(self, plan: Plan, key: str | None, display: Display) -> None:
        self.levels: list[Summary] = []
        self.api: Api | None = None
        self._plan = plan
        self._key = key
        self._display = display
        self._number = 0

    async def run(self) -> None:
        """Measure all levels.

        Raises:
            NotMeasurableError: there is nothing to measure, or a warm-up request fails.
        """
        plan = self._plan
        async with http_client(plan.url, self._key) as http:
            self.api = await discover(http, plan)
            client = Client(http, self.api, plan.timeout_s)
            await self._warm_up(client)
            # What was made until now stays; collections while the clock runs need not look at it.
            gc.collect()
            gc.freeze()
            for concurrency in plan.concurrency:
                await self._measure(client, concurrency)

    async def _warm_up(self, client: Client) -> None:
        if not self._plan.warmup:
            return
        with self._display("warming up") as show:
            for done in range(self._plan.warmup):
                outcome = await client.send(self._next_prompt())
                if isinstance(outcome, Failed):
                    raise NotMeasurableError(
                        f"a warm-up request to {self._plan.url} failed: {_told(outcome)}"
                    )
                show((done + 1) / self._plan.warmup)

    async def _measure(self, client: Client, concurrency: int) -> None:
        level = Level(concurrency, self._end(concurrency), lambda: client.send(self._next_prompt()))
        with self._display(count_text(concurrency, "client")) as show:
            try:
                await level.run(show)
            finally:
                if level.outcomes:
                    self.levels.append(summarise(level))

    def _end(self, concurrency: int) -> End:
        if self._plan.duration_s is not None:
            return End(duration_s=self._plan.duration_s)
        return End(requests=self._plan.requests_at(concurrency))

    def _next_prompt(self) -> str:
        self._number += 1
        return self._plan.prompts.prompt(self._number)


def _told(failed: Failed) -> str:
    message = failed.message[:MESSAGE_CHARS]
    return f"{failed.reason}: {message}" if message else failed.reason
