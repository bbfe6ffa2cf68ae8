# SPDX-License-Identifier: GPL-3.0-only
"""How soon the first token comes, and what long prompts do to others, against llama-server."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from itertools import pairwise

from tests.bench.contest import PEERS, Contest
from tests.bench.load import Outcome, whole_s
from tests.bench.rows import Goal, Row
from tests.bench.servers import Server

SLOTS = 32
IDLE_TOKENS = 20
IDLE_REQUESTS = 5

SHARED_CLIENTS = 16
SHARED_TOKENS = 600
SHARED_GENERATED_TOKENS = 32

STREAMS = 8
STREAM_TOKENS = 96
LATE_TOKENS = 2000


def first_token(contest: Contest) -> list[Row]:
    """Return the time to the first token of an idle server, for both kinds of short prompts."""
    rows = []
    with contest.arena(context=8192, slots=SLOTS) as (running, load):
        for name, kind, prompt, most in (
            (
                "own",
                f"a prompt of {IDLE_TOKENS} of its own",
                partial(contest.words, IDLE_TOKENS),
                1.1,
            ),
            ("alike", "a short prompt that begins as the last one", contest.alike, 1.0),
        ):

            def fresh(prompt: Callable[[], str] = prompt) -> list[str]:
                return [prompt() for _ in range(IDLE_REQUESTS)]

            def once(server: Server, prompts: list[str]) -> float:
                bodies = server.bodies(prompts, 2)
                outcomes = [load.play("together", server, [body])[0] for body in bodies]
                return statistics.median(outcome.first_s for outcome in outcomes) * 1000

            rows.append(
                Row(
                    name=f"first-token/{name}",
                    what=f"first token of {kind}, one client",
                    unit="ms",
                    measured=contest.in_turn(running, fresh, once),
                    form=".1f",
                    goal=Goal(most=most, against=PEERS),
                )
            )
    return rows


def shared_prefix(contest: Contest) -> list[Row]:
    """Clients that come together with a long common beginning, which is a new one each time."""
    count, length = SHARED_CLIENTS, contest.sized(SHARED_TOKENS, 200)
    wanted = contest.sized(SHARED_GENERATED_TOKENS, 8)
    with contest.arena(context=count * 768, slots=count) as (running, load):

        def fresh() -> list[str]:
            shared = contest.words(length)
            return [f"{shared} {contest.words(12)}" for _ in range(count)]

        def once(server: Server, prompts: list[str]) -> float:
            return 1 / whole_s(load.play("together", server, server.bodies(prompts, wanted)))

        measured = contest.in_turn(running, fresh, once)
    what = f"{count} clients with a common prefix of {length}, how often all of them in a second"
    goal = Goal(least=8.0, against=PEERS)
    unit, form = "/s", ".3f"
    return [
        Row(
            name="shared-prefix",
            what=what,
            unit=unit,
            measured=measured,
            form=form,
            goal=goal,
            more=True,
        )
    ]


def long_prompt(contest: Contest) -> list[Row]:
    """Return the worst gap between two tokens of streams beside which a long prompt comes."""
    late_s: dict[str, list[float]] = {}
    late_tokens = contest.sized(LATE_TOKENS, 800)
    with contest.arena(context=(STREAMS + 1) * 2304, slots=STREAMS + 1) as (running, load):

        def fresh() -> list[str]:
            return [contest.words(20) for _ in range(STREAMS)] + [contest.words(late_tokens)]

        def once(server: Server, prompts: list[str]) -> float:
            bodies = server.bodies(prompts, STREAM_TOKENS)
            *streams, late = load.play("beside", server, bodies)
            late_s.setdefault(server.name, []).append(late.first_s)
            return max(_worst_gap_s(stream, late) for stream in streams)

        measured = contest.in_turn(running, fresh, once)
    what = f"prompt of {late_tokens} beside {STREAMS} streams, their worst gap"
    own = f"first token of that prompt of {late_tokens}"
    gap, first = (Goal(most=most, against=PEERS) for most in (0.1, 1.05))
    return [
        Row(name="long-prompt/gap", what=what, unit="s", measured=measured, goal=gap),
        Row(name="long-prompt/first", what=own, unit="s", measured=late_s, goal=first),
    ]


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
