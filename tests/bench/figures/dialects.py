# SPDX-License-Identifier: GPL-3.0-only
"""What a token costs the server in each dialect, and when the first one comes, against the native.

The streams of :mod:`.streams`, from the same instant engine; the dialects take turns.
"""

import asyncio
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.bench.bench_app import MODEL, STREAMS
from tests.bench.contest import Contest
from tests.bench.figures.streams import TOKENS, Subject, post, server
from tests.bench.rows import OURS, Goal, Row

FIRST_TOKENS = 200
"""Requests of one token for the median of the time to the first one."""

_CHAT = [{"role": "user", "content": "x"}]


@dataclass(frozen=True)
class Wire:
    """How a dialect is asked for a stream; ``mark`` is in each event that has a token."""

    path: str
    body: Mapping[str, Any]
    limit: str
    mark: bytes

    def body_for(self, tokens: int) -> dict[str, Any]:
        """Return the body of a request for so many tokens."""
        limit = {"num_predict": tokens} if self.limit == "options" else tokens
        return {**self.body, self.limit: limit}


NATIVE = "native"
WIRES = {
    NATIVE: Wire("/infer", {"messages": _CHAT}, "max_tokens", b'{"token":'),
    "openai": Wire(
        "/v1/chat/completions",
        {"messages": _CHAT, "stream": True},
        "max_tokens",
        b'"delta":{"content":',
    ),
    "openai-responses": Wire(
        "/v1/responses",
        {"input": _CHAT, "stream": True, "store": False},
        "max_output_tokens",
        b"event: response.output_text.delta",
    ),
    "ollama": Wire(
        "/api/chat", {"model": MODEL, "messages": _CHAT}, "options", b'"content":" token"'
    ),
    "anthropic": Wire(
        "/v1/messages",
        {"model": MODEL, "messages": _CHAT, "stream": True},
        "max_tokens",
        b"event: content_block_delta",
    ),
}


async def _stream(port: int, wire: Wire, tokens: int) -> int:
    return (await post(port, wire.path, wire.body_for(tokens))).count(wire.mark)


async def _cost_us(subject: Subject, wire: Wire) -> float:
    """Return the server's processor time for a token of many streams, in microseconds."""
    await _stream(subject.port, wire, 1)
    before_s = subject.cpu_s()
    counts = await asyncio.gather(*(_stream(subject.port, wire, TOKENS) for _ in range(STREAMS)))
    assert set(counts) == {TOKENS}, counts
    return (subject.cpu_s() - before_s) / (STREAMS * TOKENS) * 1e6


async def _first_ms(port: int, wire: Wire) -> float:
    """Return the median time of a whole request for one token, in milliseconds."""
    times = []
    for _ in range(FIRST_TOKENS):
        began_s = time.perf_counter()
        assert await _stream(port, wire, 1) == 1
        times.append(time.perf_counter() - began_s)
    return statistics.median(times) * 1e3


def measure(contest: Contest) -> list[Row]:
    """Measure all dialects in turn and return two rows for each but the native one."""
    costs: dict[str, list[float]] = {name: [] for name in WIRES}
    firsts: dict[str, list[float]] = {name: [] for name in WIRES}
    with server(OURS, TOKENS) as subject:
        for _ in contest.turns():
            for name, wire in WIRES.items():
                costs[name].append(asyncio.run(_cost_us(subject, wire)))
                firsts[name].append(asyncio.run(_first_ms(subject.port, wire)))
    return [row for name in WIRES if name != NATIVE for row in _rows(name, costs, firsts)]


def _rows(
    name: str, costs: dict[str, list[float]], firsts: dict[str, list[float]]
) -> tuple[Row, Row]:
    """Return a dialect's rows, in which it stands as modeld beside the native one."""
    cost, first = ({OURS: of[name], NATIVE: of[NATIVE]} for of in (costs, firsts))
    what, goal = f"{name}: server CPU per token", Goal(most=1.15, against=(NATIVE,))
    asked = "  a request of one token"
    return (
        Row(name=f"dialects/{name}/cpu", what=what, unit="us", measured=cost, goal=goal),
        Row(name=f"dialects/{name}/request", what=asked, unit="ms", measured=first),
    )
