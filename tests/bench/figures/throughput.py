# SPDX-License-Identifier: GPL-3.0-only
"""Tokens a second of free text, through HTTP, against llama-server's."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Final

from tests.bench.contest import PEERS, Contest
from tests.bench.load import Load, Outcome, whole_s
from tests.bench.rows import Goal, Row
from tests.bench.servers import Server, computed_tokens

CLIENTS: Final = (1, 4, 16, 32)
PROMPT_TOKENS: Final = 48
GENERATED_TOKENS: Final = 64

SHORT_TOKENS: Final = {1: 48, 4: 32, 16: 16, 32: 12}
"""What each client of the short form generates, by the number of clients."""

CONTEXT: Final = 8192 + 4096

FORMS: Final = {
    "server CPU per token": ("ms", ".2f"),
    "first token": ("ms", ".0f"),
    "gap between tokens": ("ms", ".1f"),
}
"""What is measured beside the rate: its unit and its format."""


class Meter:
    """Has servers work, and notes what it cost and how long it took beside what it returns."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._noted: dict[str, dict[str, list[float]]] = {what: {} for what in FORMS}

    def rate(self, server: Server, rounds: Sequence[Sequence[dict[str, object]]]) -> float:
        """Return the tokens a second of all requests, of which each round is sent at once."""
        before_s, spent_s = server.cpu_s(), 0.0
        outcomes: list[Outcome] = []
        for bodies in rounds:
            found = self._load.play("together", server, bodies)
            spent_s += whole_s(found)
            outcomes += found
        tokens = sum(computed_tokens(outcome.last)[1] for outcome in outcomes)
        first_s = statistics.median(outcome.first_s for outcome in outcomes)
        self._note(server, "server CPU per token", (server.cpu_s() - before_s) / tokens)
        self._note(server, "first token", first_s)
        self._note(server, "gap between tokens", _gap_s(outcomes))
        return tokens / spent_s

    def _note(self, server: Server, what: str, seconds: float) -> None:
        self._noted[what].setdefault(server.name, []).append(seconds * 1000)

    def rows(self, name: str) -> list[Row]:
        """Return the rows that stand below the rate."""
        return [
            Row(name=f"{name}/{what}", what=f"  {what}", unit=unit, form=form, measured=noted)
            for what, noted in self._noted.items()
            for unit, form in [FORMS[what]]
        ]


def throughput(contest: Contest) -> list[Row]:
    """Return the rows of clients with prompts of their own."""
    return _free_text(contest, "throughput", "own prompts", lambda: contest.words(PROMPT_TOKENS))


def alike(contest: Contest) -> list[Row]:
    """Return the rows of clients with short prompts that begin alike."""
    return _free_text(contest, "alike", "short prompts that begin alike", contest.alike)


def _free_text(contest: Contest, figure: str, kind: str, prompt: Callable[[], str]) -> list[Row]:
    rows: list[Row] = []
    with contest.arena(context=CONTEXT, slots=max(CLIENTS)) as (running, load):
        for clients in CLIENTS:
            wanted = contest.sized(GENERATED_TOKENS, SHORT_TOKENS[clients])
            meter = Meter(load)

            def once(
                server: Server, prompts: list[str], meter: Meter = meter, wanted: int = wanted
            ) -> float:
                return meter.rate(server, [server.bodies(prompts, wanted)])

            def fresh(clients: int = clients) -> list[str]:
                return [prompt() for _ in range(clients)]

            rates = contest.in_turn(running, fresh, once)
            what = f"{counted(clients)}, {kind}"
            rows.append(rate_row(f"{figure}/{clients}", what, rates, least=1.0))
            rows += meter.rows(f"{figure}/{clients}")
    return rows


def rate_row(name: str, what: str, rates: dict[str, list[float]], *, least: float) -> Row:
    """Return the row of a rate against llama-server's."""
    goal = Goal(least=least, against=PEERS)
    return Row(
        name=f"{name}/rate",
        what=what,
        unit="tokens/s",
        measured=rates,
        form=".0f",
        goal=goal,
        more=True,
    )


def counted(clients: int) -> str:
    """Return how many clients there are, in words of a row."""
    return "1 client" if clients == 1 else f"{clients} clients"


def _gap_s(outcomes: list[Outcome]) -> float:
    """Return the median time between two tokens of one response."""
    return statistics.median(
        after_s - before_s
        for outcome in outcomes
        for before_s, after_s in pairwise(outcome.arrivals_s)
    )
