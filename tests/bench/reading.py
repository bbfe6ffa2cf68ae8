# SPDX-License-Identifier: GPL-3.0-only
"""The figures about how prompts are read: what a cache spares, and how soon reading stops."""

from __future__ import annotations

import statistics
from typing import Any

from tests.bench import servers
from tests.bench.contest import Contest
from tests.bench.load import Load, clients
from tests.bench.servers import Server, Size, computed_tokens

FIRST_TURN_TOKENS = 950
LEFT_TOKENS = 3000
UBATCH_TOKENS = 128
IDLE_REQUESTS = 5


def second_turn(contest: Contest) -> list[str]:
    """Return the tokens of a chat's second turn that are computed, and those that are new in it."""
    size = Size(context=4096, slots=4, threads=contest.threads)
    with servers.modeld(contest.model, size) as server, clients() as load:
        turns = [_second_turn(contest, server, load) for _ in range(contest.repeats)]
    computed, new, whole = (statistics.median(column) for column in zip(*turns, strict=True))
    row = f"second turn of a chat: {computed:.0f} of {whole:.0f} prompt tokens computed"
    return [f"{row}, of which {new:.0f} are new (goal: only these)"]


def _second_turn(contest: Contest, server: Server, load: Load) -> tuple[int, int, int]:
    chat = [{"role": "user", "content": contest.words(FIRST_TURN_TOKENS)}]
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


def cancel(contest: Contest) -> list[str]:
    """Return when the only slot works for the next one, once a client left during its prompt."""
    size = Size(context=4096, slots=1, threads=contest.threads)
    waits_s, ubatches_s = [], []
    with servers.modeld(contest.model, size) as server, clients() as load:
        for _ in range(contest.repeats):
            left, many = (contest.words(count) for count in (LEFT_TOKENS, UBATCH_TOKENS))
            one_s = _first_s(contest, server, load)
            (read,) = load.play("together", server, [server.body(many, 1)])
            one = server.body(contest.words(1), 1)
            (next_one,) = load.play("instead", server, [server.body(left, 1), one])
            ubatches_s.append(read.first_s - one_s)
            waits_s.append(next_one.first_s - one_s)
    wait_s, ubatch_s = statistics.median(waits_s), statistics.median(ubatches_s)
    ratio = statistics.median(a / b for a, b in zip(waits_s, ubatches_s, strict=True))
    row = f"cancel in prefill: the next request waits {wait_s * 1000:.0f} ms longer than when idle"
    ubatch = f"a ubatch of {UBATCH_TOKENS} takes {ubatch_s * 1000:.0f} ms"
    return [f"{row}, {ubatch}, ratio {ratio:.2f} (goal at most 1.0)"]


def _first_s(contest: Contest, server: Server, load: Load) -> float:
    """Time to the first token of an idle server, for a prompt of one token."""
    bodies = [server.body(contest.words(1), 1) for _ in range(IDLE_REQUESTS)]
    return statistics.median(load.play("together", server, [body])[0].first_s for body in bodies)
