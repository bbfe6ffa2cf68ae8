# SPDX-License-Identifier: GPL-3.0-only
"""The figures in which modeld is compared with llama-server."""

from __future__ import annotations

import statistics
from itertools import pairwise

from tests.bench.contest import Contest, compared
from tests.bench.load import Load, Outcome
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


def throughput(contest: Contest) -> list[str]:
    """Return tokens a second through HTTP, each client with a prompt of its own."""
    with contest.arena(context=8192, slots=max(CLIENTS)) as (running, load):
        return [row for clients in CLIENTS for row in _throughput(contest, running, load, clients)]


def _throughput(contest: Contest, running: list[Server], load: Load, clients: int) -> list[str]:
    cpu_ms: dict[str, list[float]] = {server.name: [] for server in running}

    def once(server: Server, prompts: list[str]) -> float:
        before_s = server.cpu_s()
        outcomes = load.play("together", server, _bodies(server, prompts, GENERATED_TOKENS))
        tokens = sum(computed_tokens(outcome.last)[1] for outcome in outcomes)
        cpu_ms[server.name].append((server.cpu_s() - before_s) / tokens * 1000)
        return tokens / whole_s(outcomes)

    def fresh() -> list[str]:
        return [contest.words(PROMPT_TOKENS) for _ in range(clients)]

    rates = contest.in_turn(running, fresh, once)
    return [
        f"{clients} clients: {compared(rates, '.0f', 'tokens/s')} (goal at least 1.0)",
        f"  server CPU per token: {compared(cpu_ms, '.2f', 'ms')}",
    ]


def first_token(contest: Contest) -> list[str]:
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
    return [f"{what}: {compared(measured, '.1f', 'ms')} (goal at most 1.1)"]


def shared_prefix(contest: Contest) -> list[str]:
    """Clients that come together with a long common beginning, which is a new one each time."""
    context = SHARED_CLIENTS * 768
    with contest.arena(context=context, slots=SHARED_CLIENTS) as (running, load):

        def fresh() -> list[str]:
            shared = contest.words(SHARED_TOKENS)
            return [f"{shared} {contest.words(12)}" for _ in range(SHARED_CLIENTS)]

        def once(server: Server, prompts: list[str]) -> float:
            bodies = _bodies(server, prompts, SHARED_GENERATED_TOKENS)
            return whole_s(load.play("together", server, bodies))

        measured = contest.in_turn(running, fresh, once)
    what = f"{SHARED_CLIENTS} clients, common prefix of {SHARED_TOKENS}"
    return [f"{what}: {compared(measured, '.2f', 's')} (goal at most 0.20, a fifth)"]


def long_prompt(contest: Contest) -> list[str]:
    """Return the worst gap between two tokens of streams beside which a long prompt comes."""
    late_s: dict[str, list[float]] = {}
    with contest.arena(context=(STREAMS + 1) * 2304, slots=STREAMS + 1) as (running, load):

        def fresh() -> list[str]:
            return [contest.words(20) for _ in range(STREAMS)] + [contest.words(LATE_TOKENS)]

        def once(server: Server, prompts: list[str]) -> float:
            bodies = _bodies(server, prompts, STREAM_TOKENS)
            *streams, late = load.play("beside", server, bodies)
            late_s.setdefault(server.name, []).append(late.first_s)
            return max(_worst_gap_s(stream, late) for stream in streams)

        measured = contest.in_turn(running, fresh, once)
    what = f"prompt of {LATE_TOKENS} beside {STREAMS} streams"
    return [
        f"{what}, their worst gap: {compared(measured, '.2f', 's')} (goal at most 0.3)",
        f"  its own first token: {compared(late_s, '.2f', 's')}",
    ]


def _bodies(server: Server, prompts: list[str], tokens: int) -> list[dict[str, object]]:
    return [server.body(prompt, tokens, seed=seed) for seed, prompt in enumerate(prompts)]


def whole_s(outcomes: list[Outcome]) -> float:
    """Return the seconds from the first request to the last token of all."""
    began_s = min(outcome.sent_s for outcome in outcomes)
    return max(outcome.arrivals_s[-1] for outcome in outcomes) - began_s


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
