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
import tempfile
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import TypeAlias

import psutil

from tests.bench.contest import Contest, to_and_fro
from tests.bench.rows import OURS, Goal, Measured, Row
from tests.bench.servers import HERE, Checkout, own_cpu_s
from tests.support.gguf.tiny_gguf import write_gguf

KNOWN = 10_000
USED = 1_000
FEW = 10
AMONG_FEW = "among ten"
LISTS = 20
"""How often the list of models is asked for, for each median."""

CONNECTIONS = 1_000
STREAMING = 200
TOKENS = 100
"""Of each of the streams, half of it in the short form; one comes every 0.1 s."""

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


def _with_app(contest: Contest) -> list[Checkout]:
    """Return the checkouts that have the server that is measured here; earlier ones do not."""
    return [each for each in contest.checkouts if each.has("tests/bench/growth_app.py")]


def _cost(checkout: Checkout, folder: Path, used: int, cache: Path) -> Run:
    done = subprocess.run(
        checkout.command("tests.bench.growth_app", "cost", str(folder), str(used)),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        cwd=checkout.root,
        env=os.environ | {"XDG_CACHE_HOME": str(cache)},
    )
    figures: Run = json.loads(done.stdout)
    return figures


@contextmanager
def _server(checkout: Checkout, folder: Path, used: int, cache: Path) -> Iterator[tuple[int, int]]:
    """Run the server on such a folder, and yield its port and its process."""
    with subprocess.Popen(
        checkout.command("tests.bench.growth_app", "serve", str(folder), str(used)),
        stdout=subprocess.PIPE,
        text=True,
        cwd=checkout.root,
        env=os.environ | {"XDG_CACHE_HOME": str(cache)},
    ) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline()), process.pid
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


async def _list_ms(port: int, pid: int, status: bytes, *headers: str) -> float:
    """Return the server's processor time for the first page of the models, in milliseconds."""
    before_s = own_cpu_s(pid)
    for _ in range(LISTS):
        response, _ = await _response(port, "/models?limit=100", *headers)
        assert response.startswith(b"HTTP/1.1 " + status), response[:80]
    return (own_cpu_s(pid) - before_s) / LISTS * 1000


async def _lists(port: int, pid: int) -> tuple[float, float]:
    response, _ = await _response(port, "/models?limit=100")
    tag = response.lower().partition(b"etag: ")[2].partition(b"\r\n")[0].decode()
    page_ms = await _list_ms(port, pid, b"200")
    return page_ms, await _list_ms(port, pid, b"304", f"If-None-Match: {tag}")


def growth(contest: Contest) -> list[Row | str]:
    """Return the rows on ten thousand models."""
    runs: dict[str, list[Run]] = {each.name: [] for each in _with_app(contest)}
    runs[AMONG_FEW] = []
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base)
        lots, some = _fill(folder / "many", KNOWN), _fill(folder / "few", FEW)
        for turn in contest.turns():
            cache = folder / f"cache-{turn}"
            for each in to_and_fro(_with_app(contest), turn):
                runs[each.name].append(_cost(each, lots, USED, cache / each.name))
            runs[AMONG_FEW].append(_cost(HERE, some, FEW, cache / "few"))
        cache = folder / "cache-0" / OURS
        again = _cost(HERE, lots, USED, cache)
        with _server(HERE, lots, USED, cache) as server:
            page_ms, unchanged_ms = asyncio.run(_lists(*server))
    return [
        *_growth_rows(runs),
        f"  the next start: {again['start_s']:.2f} s",
        f"  first page of /models: {page_ms:.1f} ms of CPU, unchanged (304): {unchanged_ms:.1f} ms",
    ]


def _growth_rows(runs: dict[str, list[Run]]) -> list[Row]:
    used = f"{USED} models used of {KNOWN}"

    def row(name: str, figure: str, what: str, unit: str, goal: Goal | None = None) -> Row:
        measured = {subject: [run[figure] for run in of] for subject, of in runs.items()}
        form = ".2f" if unit == "s" else ".0f"
        return Row(
            name=f"growth/{name}", what=what, unit=unit, measured=measured, form=form, goal=goal
        )

    among = Goal(most=1.5, against=(AMONG_FEW,))
    start = f"start with {KNOWN} models, CPU beyond imports"
    return [
        row("request", "later_us", f"CPU of a request among {used}", "us", among),
        row("load", "first_us", "  of the first one of each model, its load with it", "us"),
        row("rss", "rss_mb", f"resident memory, {used}", "MiB"),
        row("start", "start_s", start, "s", Goal(most=2)),
    ]


async def _stream(port: int, model: str, tokens: int, begun: asyncio.Semaphore) -> int:
    """Read one stream, and return its tokens; ``begun`` is released with the first of them."""
    body = json.dumps({"model": model, "prompt": "x", "max_tokens": tokens, "stream": True})
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


async def _crowd(port: int, pid: int, tokens: int) -> tuple[list[float], float]:
    """Return the seconds of each probe in a crowd, and the server's memory then in MiB."""
    begun = asyncio.Semaphore(0)
    async with AsyncExitStack() as idle:
        for _ in range(CONNECTIONS - STREAMING):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")  # and it stays open
            idle.callback(writer.close)
        streams = [
            asyncio.create_task(_stream(port, f"model-{number % FEW:05}-Q4_0.gguf", tokens, begun))
            for number in range(STREAMING)
        ]
        for _ in range(STREAMING):
            await begun.acquire()
        probes = []
        for _ in range(PROBES):
            response, took_s = await _response(port, "/healthz")
            assert response.startswith(b"HTTP/1.1 200"), response[:80]
            probes.append(took_s)
        rss_mb = psutil.Process(pid).memory_info().rss / 2**20
        assert await asyncio.gather(*streams) == [tokens] * STREAMING
    return probes, rss_mb


def connections(contest: Contest) -> list[Row]:
    """Return the rows on a thousand connections; the clients share the machine with the server."""
    checkouts = _with_app(contest)
    worst, halves, memory = ({each.name: [] for each in checkouts} for _ in range(3))
    tokens = contest.sized(TOKENS, TOKENS // 2)
    with tempfile.TemporaryDirectory() as base:
        folder = _fill(Path(base) / "few", FEW)
        for turn in contest.turns():
            for each in to_and_fro(checkouts, turn):
                cache = Path(base) / f"cache-{turn}-{each.name}"
                with _server(each, folder, FEW, cache) as server:
                    probes, rss_mb = asyncio.run(_crowd(*server, tokens))
                probes.sort()
                worst[each.name].append(probes[int(len(probes) * 0.99)] * 1000)
                halves[each.name].append(statistics.median(probes) * 1000)
                memory[each.name].append(rss_mb)

    def row(name: str, what: str, unit: str, measured: Measured, most: float | None = None) -> Row:
        goal = None if most is None else Goal(most=most)
        name = f"connections/{name}"
        return Row(name=name, what=what, unit=unit, measured=measured, form=".1f", goal=goal)

    crowd = f"{CONNECTIONS} connections of which {STREAMING} stream"
    return [
        row("p99", f"p99 of /healthz beside {crowd}", "ms", worst, 50),
        row("median", "  its median", "ms", halves),
        row("rss", f"resident memory with {crowd}", "MiB", memory, 150),
    ]
