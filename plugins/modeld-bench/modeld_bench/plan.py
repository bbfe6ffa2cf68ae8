# SPDX-License-Identifier: GPL-3.0-only
"""What is to be measured."""

from __future__ import annotations

from dataclasses import dataclass

from modeld_bench.apis.api import Wish
from modeld_bench.prompts import Prompts

LEAST_REQUESTS = 8
ROUNDS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run. Each level ends after ``duration_s``, or else after its number of requests.

    ``api`` is None where the server is to be asked.
    """

    url: str
    api: str | None
    wish: Wish
    prompts: Prompts
    concurrency: tuple[int, ...]
    requests: int | None
    duration_s: float | None
    warmup: int
    timeout_s: float

    def requests_at(self, concurrency: int) -> int:
        """Return how many requests a level has that does not end by the clock."""
        return self.requests or max(LEAST_REQUESTS, ROUNDS * concurrency)
