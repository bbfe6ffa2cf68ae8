# SPDX-License-Identifier: GPL-3.0-only
"""What it costs that there are many models, and many connections.

Ten thousand models are known and a thousand of them used, against ten of each, in turn; and a
thousand connections, of which two hundred stream.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import TypeAlias

import psutil

from tests.bench.contest import Contest
from tests.bench.streams import cpu_s
from tests.support.gguf.tiny_gguf import write_gguf

KNOWN = 10_000
USED = 1_000
FEW = 10
LISTS = 20
"""How often the list of models is asked for, for each median."""

CONNECTIONS = 1_000
STREAMING = 200
TOKENS = 100
"""Of each of the streams; with one every 0.1 s they are there for ten seconds."""

PROBES = 200


Run: TypeAlias = dict[str, float]
"""What one process has measured, by name."""


def _fill(folder: Path, count: int) -> Path:
    """Write so many small models, which differ in their names only."""
    folder.mkdir()
    content = write_gguf(folder / "model-00000-Q4_0.gguf", "llama").read_bytes()
    for number in range(1, count):
        (folder / f"model-{number:05}-Q4_0.gguf").write_bytes(content)
    return folder


def _app(*arguments: str, cache: Path) -> list[str]:
    os.environ["XDG_CACHE_HOME"] = str(cache)
    return [sys.executable, "-m", "tests.bench.growth_app", *arguments]


def _cost(folder: Path, used: int, cache: Path) -> Run:
    command = _app("cost", str(folder), str(used), cache=cache)
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures: Run = json.loads(done.stdout)
    return figures


@contextmanager
def _server(folder: Path, used: int, cache: Path) -> Iterator[tuple[int, psutil.Process]]:
    command = _app("serve", str(folder), str(used), cache=cache)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline()), psutil.Process(process.pid)
        finally:
            process.terminate()


async def _response(port: int, path: str, *headers: str) -> tuple[bytes, float]:
    """Return a response on a connection of its own, and the seconds until its end."""
    head = "".join(f"{line}\r\n" for line in headers)
    began_s = time.perf_counter()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{head}\r\n".encode()
    )
    response = await reader.read(-1)
    writer.close()
    return response, time.perf_counter() - began_s


async def _list_ms(port: int, server: psutil.Process, status: bytes, *headers: str) -> float:
    """Return the server's processor time for the first page of the models, in milliseconds."""
    before_s = cpu_s(server)
    for _ in range(LISTS):
        response, _ = await _response(port, "/models?limit=100", *headers)
        assert response.startswith(b"HTTP/1.1 " + status), response[:80]
    return (cpu_s(server) - before_s) / LISTS * 1000


async def _lists(port: int, server: psutil.Process) -> tuple[float, float]:
    response, _ = await _response(port, "/models?limit=100")
    tag = response.lower().partition(b"etag: ")[2].partition(b"\r\n")[0].decode()
    page_ms = await _list_ms(port, server, b"200")
    return page_ms, await _list_ms(port, server, b"304", f"If-None-Match: {tag}")


def _row(what: str, few: Sequence[Run], many: Sequence[Run], name: str) -> str:
    """Return a figure with many models and with few, and the spread of the ratio of the pairs."""
    ratios = [after[name] / before[name] for before, after in zip(few, many, strict=True)]
    with_many = statistics.median(run[name] for run in many)
    with_few = statistics.median(run[name] for run in few)
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    ratio = f"ratio {statistics.median(ratios):.2f} ({spread})"
    return f"{what}: {with_many:.0f}, with {FEW} models {with_few:.0f}, {ratio}"


def growth(contest: Contest) -> list[str]:
    """Return the rows on ten thousand models."""
    few, many = [], []
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base)
        lots, some = _fill(folder / "many", KNOWN), _fill(folder / "few", FEW)
        for number in contest.turns():
            few.append(_cost(some, FEW, folder / f"cache-few-{number}"))
            many.append(_cost(lots, USED, folder / f"cache-many-{number}"))
        again = _cost(lots, USED, folder / "cache-many-0")
        with _server(lots, USED, folder / "cache-many-0") as (port, process):
            page_ms, unchanged_ms = asyncio.run(_lists(port, process))

    start_s = statistics.median(run["start_s"] for run in many)
    used = f"{USED} models used of {KNOWN}"
    return [
        _row(f"a request among {used}, us of CPU", few, many, "later_us") + " (goal 1.5)",
        _row("the first one of each model, its load with it, us of CPU", few, many, "first_us"),
        _row(f"resident memory, MiB, {used}", few, many, "rss_mb"),
        f"start with {KNOWN} models: {start_s:.2f} s of CPU beyond imports (goal 2)",
        f"the next start: {again['start_s']:.2f} s",
        f"first page of /models: {page_ms:.1f} ms of CPU, unchanged (304): {unchanged_ms:.1f} ms",
    ]


async def _stream(port: int, model: str, begun: asyncio.Semaphore) -> int:
    """Read one stream, and return its tokens; ``begun`` is released with the first of them."""
    body = json.dumps({"model": model, "prompt": "x", "max_tokens": TOKENS, "stream": True})
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        "POST /infer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    )
    count = 0
    while data := await reader.read(1 << 16):
        if not count:
            begun.release()
        count += data.count(b'{"token":')
    writer.close()
    return count


async def _crowd(port: int, server: psutil.Process) -> tuple[list[float], float]:
    """Return the seconds of each probe in a crowd, and the server's memory then in MiB."""
    begun = asyncio.Semaphore(0)
    async with AsyncExitStack() as idle:
        for _ in range(CONNECTIONS - STREAMING):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")  # and it stays open
            idle.callback(writer.close)
        streams = [
            asyncio.create_task(_stream(port, f"model-{number % FEW:05}-Q4_0.gguf", begun))
            for number in range(STREAMING)
        ]
        for _ in range(STREAMING):
            await begun.acquire()
        probes = []
        for _ in range(PROBES):
            response, took_s = await _response(port, "/healthz")
            assert response.startswith(b"HTTP/1.1 200"), response[:80]
            probes.append(took_s)
        rss_mb = server.memory_info().rss / 2**20
        assert await asyncio.gather(*streams) == [TOKENS] * STREAMING
    return probes, rss_mb


def connections(contest: Contest) -> list[str]:
    """Return the row on a thousand connections; the clients share the machine with the server."""
    worst, memory, halves = [], [], []
    with tempfile.TemporaryDirectory() as base:
        folder = _fill(Path(base) / "few", FEW)
        for number in contest.turns():
            with _server(folder, FEW, Path(base) / f"cache-{number}") as (port, process):
                probes, rss_mb = asyncio.run(_crowd(port, process))
            probes.sort()
            worst.append(probes[int(len(probes) * 0.99)] * 1000)
            halves.append(statistics.median(probes) * 1000)
            memory.append(rss_mb)
    crowd = f"{CONNECTIONS} connections of which {STREAMING} stream"
    p99_ms, half_ms = statistics.median(worst), statistics.median(halves)
    return [
        f"/healthz beside {crowd}: p99 {p99_ms:.1f} ms (goal 50), median {half_ms:.1f} ms",
        f"resident memory of that server: {statistics.median(memory):.0f} MiB (goal 150)",
    ]
