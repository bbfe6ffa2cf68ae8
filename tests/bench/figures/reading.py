# SPDX-License-Identifier: GPL-3.0-only
"""The figures about how prompts are read: what a cache spares, and how soon reading stops."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from tests.bench import servers
from tests.bench.contest import Contest, to_and_fro
from tests.bench.load import Load, clients
from tests.bench.rows import Goal, Row
from tests.bench.servers import Server, Size, computed_tokens

FIRST_TURN_TOKENS = 950
LEFT_TOKENS = 3000
UBATCH_TOKENS = 128
IDLE_REQUESTS = 5


def second_turn(contest: Contest) -> list[Row]:
    """Return the tokens of a chat's second turn that are computed, and those that are new in it."""
    computed: dict[str, list[float]] = {each.name: [] for each in contest.checkouts}
    new = whole = 0
    with _running(contest, slots=4) as (running, load):
        for turn in contest.turns():
            for server in to_and_fro(running, turn):
                tokens, new, whole = _second_turn(contest, server, load)
                computed[server.name].append(tokens)
    what = f"second turn of a chat of {whole} tokens, {new} of them new: computed"
    # The last token of a generation was never computed, so that one more than is new is right.
    form, goal = ".0f", Goal(most=new + 1)
    row = Row(name="second-turn", what=what, unit="tokens", measured=computed, form=form, goal=goal)
    return [row]


def _second_turn(contest: Contest, server: Server, load: Load) -> tuple[int, int, int]:
    chat = [{"role": "user", "content": contest.words(contest.sized(FIRST_TURN_TOKENS, 400))}]
    first = _chat(server, load, chat)
    chat += [{"role": "assistant", "content": first["content"]}]
    chat += [{"role": "user", "content": contest.words(20)}]
    second = _chat(server, load, chat)
    whole = second["usage"]["prompt_tokens"]
    new = whole - first["usage"]["total_tokens"]
    return computed_tokens(second)[0], new, whole


def _chat(server: Server, load: Load, messages: list[dict[str, str]]) -> dict[str, Any]:
    body = {**server.body("", 32, temperature=0), "prompt": None, "messages": messages}
    (outcome,) = load.play("together", server, [body])
    return outcome.last


def cancel(contest: Contest) -> list[Row]:
    """Return when the only slot works for the next one, once a client left during its prompt."""
    waits_ms: dict[str, list[float]] = {each.name: [] for each in contest.checkouts}
    shares: dict[str, list[float]] = {each.name: [] for each in contest.checkouts}
    with _running(contest, slots=1) as (running, load):
        for turn in contest.turns():
            prompts = [contest.words(count) for count in (LEFT_TOKENS, UBATCH_TOKENS, 1)]
            for server in to_and_fro(running, turn):
                wait_s, ubatch_s = _cancelled(contest, server, load, prompts)
                waits_ms[server.name].append(wait_s * 1000)
                shares[server.name].append(wait_s / ubatch_s)
    what = "cancel in prefill, how much longer than on an idle server the next request waits"
    whole = f"  in ubatches of {UBATCH_TOKENS}"
    goal = Goal(most=1.0)
    return [
        Row(name="cancel/wait", what=what, unit="ms", measured=waits_ms, form=".0f"),
        Row(name="cancel/ubatches", what=whole, unit="", measured=shares, goal=goal),
    ]


def _cancelled(
    contest: Contest, server: Server, load: Load, prompts: list[str]
) -> tuple[float, float]:
    """Return the seconds of the wait and of a ubatch, each beyond a prompt of one token."""
    left, many, one = prompts
    one_s = _first_s(contest, server, load)
    (read,) = load.play("together", server, [server.body(many, 1)])
    (next_one,) = load.play("instead", server, [server.body(left, 1), server.body(one, 1)])
    return next_one.first_s - one_s, read.first_s - one_s


@contextmanager
def _running(contest: Contest, *, slots: int) -> Iterator[tuple[list[Server], Load]]:
    """Both checkouts with the model in memory, and clients for them."""
    size = Size(context=4096, slots=slots, threads=contest.threads)
    with ExitStack() as stack:
        running = [
            stack.enter_context(servers.modeld(contest.model, size, checkout))
            for checkout in contest.checkouts
        ]
        yield running, stack.enter_context(clients())


def _first_s(contest: Contest, server: Server, load: Load) -> float:
    """Time to the first token of an idle server, for a prompt of one token."""
    bodies = [server.body(contest.words(1), 1) for _ in range(IDLE_REQUESTS)]
    return statistics.median(load.play("together", server, [body])[0].first_s for body in bodies)
