# SPDX-License-Identifier: GPL-3.0-only
"""What the whole HTTP stack costs per token and per request, against a bare Starlette app.

32 streams at once, one write per token, an instant engine in a child process; the bare app sends
constant lines under the same uvicorn. Both are measured in turn, several times, in one run.
"""

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

from tests.bench.bench_app import STREAMS

TOKENS = 1500
REQUESTS = 400


@dataclass
class Run:
    """One measurement: lines per second, and the server's own CPU seconds."""

    lines_per_s: float
    cpu_s: float


@contextmanager
def server(kind: str, tokens: int) -> Iterator[tuple[int, psutil.Process]]:
    """Run a benchmark server as a process; yield its port and itself."""
    command = [sys.executable, "-m", "tests.bench.bench_app", kind, str(tokens)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline()), psutil.Process(process.pid)
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


async def streams(port: int, process: psutil.Process, tokens: int) -> Run:
    """Read all streams at once."""
    await request(port, 1)
    before_s = cpu_s(process)
    began_s = time.perf_counter()
    lines = sum(await asyncio.gather(*(request(port, tokens) for _ in range(STREAMS))))
    seconds = time.perf_counter() - began_s
    assert lines >= STREAMS * tokens, f"{lines} lines of {STREAMS * tokens}"
    return Run(lines / seconds, cpu_s(process) - before_s)


async def requests(port: int, process: psutil.Process) -> Run:
    """Return many short requests, eight at a time."""
    await request(port, 1)
    before_s = cpu_s(process)
    began_s = time.perf_counter()
    for _ in range(REQUESTS // 8):
        await asyncio.gather(*(request(port, 1) for _ in range(8)))
    return Run(REQUESTS / (time.perf_counter() - began_s), cpu_s(process) - before_s)


def cpu_s(process: psutil.Process) -> float:
    """Return the processor time of a process so far."""
    now = process.cpu_times()
    return float(now.user + now.system)


def measure(repeats: int) -> list[str]:
    """Run both servers in turn and return the rows of the table."""
    results: dict[tuple[str, str], list[Run]] = {}
    with (
        server("bare", TOKENS) as bare,
        server("modeld", TOKENS) as modeld,
        server("bare", 1) as one,
    ):
        for _ in range(repeats):
            for kind, (port, process) in (("bare", bare), ("modeld", modeld)):
                run = asyncio.run(streams(port, process, TOKENS))
                results.setdefault((kind, "streams"), []).append(run)
            for kind, (port, process) in (("bare", one), ("modeld", modeld)):
                run = asyncio.run(requests(port, process))
                results.setdefault((kind, "requests"), []).append(run)

    def rate(kind: str, what: str) -> float:
        return statistics.median(run.lines_per_s for run in results[kind, what])

    def cpu_us(kind: str, what: str, count: int) -> float:
        return statistics.median(run.cpu_s for run in results[kind, what]) / count * 1e6

    tokens = STREAMS * TOKENS
    ratio = rate("modeld", "streams") / rate("bare", "streams")
    lines = f"modeld {rate('modeld', 'streams'):.0f}, bare {rate('bare', 'streams'):.0f}"
    per_token = f"modeld {cpu_us('modeld', 'streams', tokens):.1f} us"
    bare_token = f"bare {cpu_us('bare', 'streams', tokens):.1f} us"
    per_request = f"modeld {cpu_us('modeld', 'requests', REQUESTS):.0f} us"
    bare_request = f"bare {cpu_us('bare', 'requests', REQUESTS):.0f} us"
    return [
        f"lines/s in {STREAMS} streams: {lines}, ratio {ratio:.2f} (goal 0.6)",
        f"server CPU per token: {per_token}, {bare_token}",
        f"server CPU per one-token request: {per_request}, {bare_request}",
    ]


if __name__ == "__main__":
    print("\n".join(measure(5)))
