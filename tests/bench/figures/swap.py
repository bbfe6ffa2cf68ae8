# SPDX-License-Identifier: GPL-3.0-only
"""Swap: evict a model, load another, first token of it, against a fresh llama-server's first token.

modeld holds one of two copies of SmolLM2 in its budget and is asked for each in turn, a warm
worker waiting. llama-server is started anew each time, with the same file, context and threads.
"""

import asyncio
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from tests.bench.contest import Contest
from tests.bench.rows import Goal, Row
from tests.bench.servers import (
    DEADLINE_S,
    Checkout,
    free_port,
    get,
    wait_until_ready_to_swap,
)

CONTEXT = 2048
THREADS = 1
PROMPT = "Once upon a time"
FRESH, COLD = "fresh llama-server", "without its warm-up"


async def first_token_s(port: int, path: str, body: dict[str, object], began_s: float) -> float:
    """Return the seconds from ``began_s`` to the first chunk of the body, connecting as needed."""
    payload = json.dumps(body).encode()
    while time.perf_counter() - began_s < DEADLINE_S:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.002)
            continue
        writer.write(
            b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Connection: close\r\nContent-Length: %d\r\n\r\n%b"
            % (path.encode(), len(payload), payload)
        )
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 503 " in head.splitlines()[0]:  # llama-server listens before it has loaded
            writer.close()
            await asyncio.sleep(0.002)
            continue
        assert b" 200 " in head.splitlines()[0], head + await reader.read()
        await reader.readuntil(b"token" if path == "/infer" else b"content")
        seconds = time.perf_counter() - began_s
        await reader.read()
        writer.close()
        return seconds
    raise TimeoutError(f"no first token within {DEADLINE_S} s")


@contextmanager
def modeld_server(folder: Path, checkout: Checkout) -> Iterator[tuple[int, int]]:
    """`modeld serve` with two copies of the model and room for one: its port and its process."""
    port = free_port()
    options = json.dumps({"*": {"context": CONTEXT, "threads": THREADS, "slots": 1}})
    command = [
        *checkout.command("modeld.cli.main", "serve", "--addr", f"127.0.0.1:{port}"),
        *("--models-dir", str(folder), "--log-level", "error", "--min-residence-s", "0"),
        *("--models", options, *checkout.budget(300), *checkout.sharing),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=checkout.root) as process:
        try:
            yield port, process.pid
        finally:
            process.terminate()


def _swap(port: int, pid: int) -> float:
    """Bring b into memory, wait for a warm worker, then time a request for a."""
    body: dict[str, object] = {"prompt": PROMPT, "max_tokens": 2, "temperature": 0}
    asyncio.run(first_token_s(port, "/infer", {**body, "model": "b.gguf"}, time.perf_counter()))
    wait_until_ready_to_swap(port, pid)
    evictions = json.loads(get(port, "/status"))["evictions_total"]
    began_s = time.perf_counter()
    seconds = asyncio.run(first_token_s(port, "/infer", {**body, "model": "a.gguf"}, began_s))
    assert json.loads(get(port, "/status"))["evictions_total"] == evictions + 1
    return seconds


def _fresh(binary: str, model: Path, *extra: str) -> float:
    port = free_port()
    command = [binary, "-m", str(model), "-c", str(CONTEXT), "-t", str(THREADS), "-np", "1"]
    began_s = time.perf_counter()
    with subprocess.Popen(
        [*command, "--port", str(port), "--host", "127.0.0.1", *extra],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            body: dict[str, object] = {"prompt": PROMPT, "n_predict": 2, "stream": True}
            return asyncio.run(first_token_s(port, "/completion", body, began_s))
        finally:
            process.kill()


def measure(contest: Contest) -> list[Row]:
    """Measure all turn by turn, and return the row of the table."""
    measured: dict[str, list[float]] = {}
    with (
        tempfile.TemporaryDirectory(dir=contest.model.resolve().parent) as folder,
        ExitStack() as stack,
    ):
        for name in ("a.gguf", "b.gguf"):
            os.link(contest.model, Path(folder) / name)
        ways: dict[str, Callable[[], float]] = {}
        for checkout in contest.checkouts:
            server = stack.enter_context(modeld_server(Path(folder), checkout))
            ways[checkout.name] = partial(_swap, *server)
        if (binary := contest.llama_server) is not None:
            ways[FRESH] = partial(_fresh, binary, contest.model)
            ways[COLD] = partial(_fresh, binary, contest.model, "--no-warmup")
        for _ in contest.turns():
            for name, once in ways.items():
                measured.setdefault(name, []).append(once())
    what, goal = "swap to first token", Goal(most=0.45, against=(FRESH,))
    return [Row(name="swap", what=what, unit="s", measured=measured, form=".3f", goal=goal)]
