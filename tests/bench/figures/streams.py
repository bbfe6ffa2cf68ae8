# SPDX-License-Identifier: GPL-3.0-only
"""What the whole HTTP stack costs per token and per request, against a bare Starlette app.

32 streams at once, one write per token, an instant engine in a child process; the bare app sends
constant lines under the same uvicorn. A stream that has its server to itself has an engine that
takes 4 ms for each token, so that each wakes the server. All are measured in turn.
"""

import asyncio
import json
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.bench.bench_app import STREAMS
from tests.bench.contest import Contest, to_and_fro
from tests.bench.rows import OURS, Goal, Row
from tests.bench.servers import HERE, Checkout, own_cpu_s

BARE = "bare"
APP = "tests/bench/bench_app.py"
TOKENS = 1500
REQUESTS = 400
ALONE_TOKENS = 400
PACE_S = 0.004


@dataclass(frozen=True)
class Subject:
    """A benchmark server that runs, and what measures it by."""

    name: str
    port: int
    pid: int

    def cpu_s(self) -> float:
        """Return the processor time of the server's own threads so far, in seconds."""
        return own_cpu_s(self.pid)


@contextmanager
def server(
    kind: str, tokens: int, pace_s: float = 0.0, checkout: Checkout = HERE
) -> Iterator[Subject]:
    """Run a benchmark server as a process."""
    command = checkout.command("tests.bench.bench_app", kind, str(tokens), str(pace_s))
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=checkout.root) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            yield Subject(BARE if kind == BARE else checkout.name, port, process.pid)
        finally:
            process.terminate()


async def post(port: int, path: str, content: object) -> bytes:
    """Return all that comes for a request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = json.dumps(content).encode()
    writer.write(
        b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (path.encode(), len(body), body)
    )
    received = []
    while data := await reader.read(1 << 16):
        received.append(data)
    writer.close()
    return b"".join(received)


async def request(port: int, tokens: int) -> int:
    """Read one streamed response, and return the number of lines."""
    return (await post(port, "/infer", {"prompt": "x", "max_tokens": tokens})).count(b"}\n")


@dataclass(frozen=True)
class Run:
    """One measurement: how many a second, and the server's CPU time for each, in microseconds."""

    per_s: float
    cpu_us: float


async def streams(subject: Subject) -> int:
    """Read all streams at once, and return the number of their lines."""
    await asyncio.gather(*(_read(subject.port, TOKENS) for _ in range(STREAMS)))
    return STREAMS * TOKENS


async def alone(subject: Subject) -> int:
    """Read one stream, each of whose tokens wakes the server."""
    await _read(subject.port, ALONE_TOKENS)
    return ALONE_TOKENS


async def requests(subject: Subject) -> int:
    """Make many short requests, eight at a time, and return their number."""
    for _ in range(REQUESTS // 8):
        await asyncio.gather(*(_read(subject.port, 1) for _ in range(8)))
    return REQUESTS


async def _read(port: int, tokens: int) -> None:
    lines = await request(port, tokens)
    assert lines >= tokens, f"{lines} lines of {tokens}"


async def _once(subject: Subject, work: Callable[[Subject], Awaitable[int]]) -> Run:
    await request(subject.port, 1)
    before_s, began_s = subject.cpu_s(), time.perf_counter()
    count = await work(subject)
    seconds = time.perf_counter() - began_s
    return Run(count / seconds, (subject.cpu_s() - before_s) / count * 1e6)


def _runs(
    contest: Contest, work: Callable[[Subject], Awaitable[int]], tokens: int, pace_s: float = 0.0
) -> dict[str, list[Run]]:
    """Have the bare app and all checkouts do the same work in turn."""
    checkouts = [each for each in contest.checkouts if not pace_s or _has_pace(each)]
    with ExitStack() as stack:
        subjects = [
            stack.enter_context(server(OURS, tokens, pace_s, checkout)) for checkout in checkouts
        ]
        subjects.append(stack.enter_context(server(BARE, tokens, pace_s)))
        runs: dict[str, list[Run]] = {each.name: [] for each in subjects}
        for turn in contest.turns():
            for subject in to_and_fro(subjects, turn):
                runs[subject.name].append(asyncio.run(_once(subject, work)))
    return runs


def _has_pace(checkout: Checkout) -> bool:
    """Return whether a checkout's engine can be told to take its time; earlier ones cannot."""
    return "PACE_S" in (checkout.root / APP).read_text()


def measure(contest: Contest) -> list[Row]:
    """Run all servers in turn and return the rows of the table."""
    many = _runs(contest, streams, TOKENS)
    lone = _runs(contest, alone, ALONE_TOKENS, PACE_S)
    short = _runs(contest, requests, 1)
    rates = {name: [run.per_s for run in runs] for name, runs in many.items()}
    what, unit, goal = f"lines in {STREAMS} streams", "/s", Goal(least=0.85, against=(BARE,))
    return [
        Row(name="streams", what=what, unit=unit, measured=rates, form=".0f", goal=goal, more=True),
        _cpu("streams/cpu", "server CPU per token", many),
        _cpu("streams/alone", "server CPU per token that wakes it alone", lone, Goal(most=100)),
        _cpu("streams/request", "server CPU per one-token request", short),
    ]


def _cpu(name: str, what: str, runs: dict[str, list[Run]], goal: Goal | None = None) -> Row:
    measured = {subject: [run.cpu_us for run in of] for subject, of in runs.items()}
    return Row(name=name, what=what, unit="us", measured=measured, form=".1f", goal=goal)
