# SPDX-License-Identifier: GPL-3.0-only
"""The figures in which modeld is compared with llama-server."""

from __future__ import annotations

import statistics
from itertools import pairwise

from tests.bench.contest import Contest
from tests.bench.load import Load, Outcome
from tests.bench.rows import Measured, Row
from tests.bench.servers import Server, computed_tokens

CLIENTS = (1, 4, 16, 32)
PROMPT_TOKENS = 48
GENERATED_TOKENS = 64

IDLE_TOKENS = 20
IDLE_REQUESTS = 5

SHARED_CLIENTS = 16
SHARED_TOKENS = 600
SHARED_GENERATED_TOKENS = 32

STREAMS = 8
STREAM_TOKENS = 96
LATE_TOKENS = 2000


def throughput(contest: Contest) -> list[Row]:
    """Return tokens a second through HTTP, each client with a prompt of its own."""
    with contest.arena(context=8192, slots=max(CLIENTS)) as (running, load):
        return [row for clients in CLIENTS for row in _throughput(contest, running, load, clients)]


def _throughput(contest: Contest, running: list[Server], load: Load, clients: int) -> list[Row]:
    cpu_ms: dict[str, list[float]] = {server.name: [] for server in running}
    gap_ms: dict[str, list[float]] = {server.name: [] for server in running}
    first_ms: dict[str, list[float]] = {server.name: [] for server in running}
    wanted = contest.sized(GENERATED_TOKENS, 32)

    def once(server: Server, prompts: list[str]) -> float:
        before_s = server.cpu_s()
        outcomes = load.play("together", server, _bodies(server, prompts, wanted))
        tokens = sum(computed_tokens(outcome.last)[1] for outcome in outcomes)
        cpu_ms[server.name].append((server.cpu_s() - before_s) / tokens * 1000)
        gap_ms[server.name].append(_gap_s(outcomes) * 1000)
        first_ms[server.name].append(statistics.median(each.first_s for each in outcomes) * 1000)
        return tokens / whole_s(outcomes)

    def fresh() -> list[str]:
        return [contest.words(PROMPT_TOKENS) for _ in range(clients)]

    rates = contest.in_turn(running, fresh, once)

    def row(what: str, unit: str, measured: Measured, form: str, goal: str = "") -> Row:
        name = f"throughput/{clients}/{what or 'rate'}"
        what = f"  {what}" if what else f"{clients} clients"
        return Row(name=name, what=what, unit=unit, measured=measured, form=form, goal=goal)

    return [
        row("", "tokens/s", rates, ".0f", "at least 1.0"),
        row("server CPU per token", "ms", cpu_ms, ".2f"),
        row("first token", "ms", first_ms, ".0f"),
        row("gap between tokens", "ms", gap_ms, ".1f"),
    ]


def first_token(contest: Contest) -> list[Row]:
    """Time to the first token of an idle server."""
    with contest.arena(context=8192, slots=max(CLIENTS)) as (running, load):

        def fresh() -> list[str]:
            return [contest.words(IDLE_TOKENS) for _ in range(IDLE_REQUESTS)]

        def once(server: Server, prompts: list[str]) -> float:
            bodies = _bodies(server, prompts, 2)
            outcomes = [load.play("together", server, [body])[0] for body in bodies]
            return statistics.median(outcome.first_s for outcome in outcomes) * 1000

        measured = contest.in_turn(running, fresh, once)
    what = f"first token of a prompt of {IDLE_TOKENS}, idle"
    row = Row(name="first-token", what=what, unit="ms", measured=measured, form=".1f", goal="1.1")
    return [row]


def shared_prefix(contest: Contest) -> list[Row]:
    """Clients that come together with a long common beginning, which is a new one each time."""
    count, length = contest.sized(SHARED_CLIENTS, 8), contest.sized(SHARED_TOKENS, 300)
    with contest.arena(context=count * 768, slots=count) as (running, load):

        def fresh() -> list[str]:
            shared = contest.words(length)
            return [f"{shared} {contest.words(12)}" for _ in range(count)]

        def once(server: Server, prompts: list[str]) -> float:
            bodies = _bodies(server, prompts, SHARED_GENERATED_TOKENS)
            return whole_s(load.play("together", server, bodies))

        measured = contest.in_turn(running, fresh, once)
    what = f"{count} clients, common prefix of {length}"
    return [Row(name="shared-prefix", what=what, unit="s", measured=measured, goal="at most 0.20")]


def long_prompt(contest: Contest) -> list[Row]:
    """Return the worst gap between two tokens of streams beside which a long prompt comes."""
    late_s: dict[str, list[float]] = {}
    late_tokens = contest.sized(LATE_TOKENS, 800)
    with contest.arena(context=(STREAMS + 1) * 2304, slots=STREAMS + 1) as (running, load):

        def fresh() -> list[str]:
            return [contest.words(20) for _ in range(STREAMS)] + [contest.words(late_tokens)]

        def once(server: Server, prompts: list[str]) -> float:
            bodies = _bodies(server, prompts, STREAM_TOKENS)
            *streams, late = load.play("beside", server, bodies)
            late_s.setdefault(server.name, []).append(late.first_s)
            return max(_worst_gap_s(stream, late) for stream in streams)

        measured = contest.in_turn(running, fresh, once)
    what = f"prompt of {late_tokens} beside {STREAMS} streams, their worst gap"
    own = "  its own first token"
    return [
        Row(name="long-prompt/gap", what=what, unit="s", measured=measured, goal="at most 0.3"),
        Row(name="long-prompt/first", what=own, unit="s", measured=late_s),
    ]


def _bodies(server: Server, prompts: list[str], tokens: int) -> list[dict[str, object]]:
    return [server.body(prompt, tokens, seed=seed) for seed, prompt in enumerate(prompts)]


def whole_s(outcomes: list[Outcome]) -> float:
    """Return the seconds from the first request to the last token of all."""
    began_s = min(outcome.sent_s for outcome in outcomes)
    return max(outcome.arrivals_s[-1] for outcome in outcomes) - began_s


def _gap_s(outcomes: list[Outcome]) -> float:
    """Return the median time between two tokens of one response."""
    return statistics.median(
        after_s - before_s
        for outcome in outcomes
        for before_s, after_s in pairwise(outcome.arrivals_s)
    )


def _worst_gap_s(stream: Outcome, late: Outcome) -> float:
    """Return the longest wait of a stream that overlaps with the reading of the late prompt."""
    gaps = [
        after_s - before_s
        for before_s, after_s in pairwise(stream.arrivals_s)
        if after_s > late.sent_s and before_s < late.arrivals_s[0]
    ]
    if not gaps:
        raise RuntimeError(f"a stream of {STREAM_TOKENS} tokens ended before the late prompt came")
    return max(gaps)
