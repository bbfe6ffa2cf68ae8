# SPDX-License-Identifier: GPL-3.0-only
"""modeld and llama.cpp's own server, each a process with one model in memory."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import psutil

from tests.bench.rows import OURS

DEADLINE_S = 60.0

REST_S = 0.4
MOST_AT_REST = 0.06
"""A server that takes no more of a processor for so long has nothing to do; it counts in ticks."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """What every server is given: tokens of context in total, slots, threads to compute with."""

    context: int
    slots: int
    threads: int


@dataclass(frozen=True)
class Checkout:
    """A working tree of modeld, and the Python of its environment."""

    name: str
    root: Path
    python: Path

    def command(self, module: str, *arguments: str) -> list[str]:
        """Return the command that runs one of its modules, in its root."""
        return [str(self.python), "-m", module, *arguments]

    def has(self, path: str) -> bool:
        """Return whether there is such a file in it; earlier revisions lack some."""
        return (self.root / path).exists()

    @cached_property
    def _flags(self) -> frozenset[str]:
        """The flags of its `modeld serve`, of which earlier revisions have fewer."""
        command = self.command("modeld.cli.main", "serve", "--help")
        # Beside its Python: what that has installed is asked, be it the checkout or its wheels.
        place = self.python.parent
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=place)
        return frozenset(re.findall(r"--[a-z][a-z-]+", done.stdout))

    def flag(self, *names: str, value: str | None = None) -> list[str]:
        """Return the first of these flags that it has, with the value; none if it has none."""
        known = next((each for each in names if each in self._flags), None)
        if known is None:
            return []
        return [known] if value is None else [known, value]

    @property
    def sharing(self) -> list[str]:
        """The flag that lets several servers of it run on one machine, if it has it."""
        return self.flag("--share-machine")

    def warm_workers(self, count: int) -> list[str]:
        """Return the flag that has so many workers wait, under the name that it has for it."""
        return self.flag(*(each for each in self._flags if _counts_workers(each)), value=str(count))

    def budget(self, megabytes: int) -> list[str]:
        """Return the flag that sets the memory budget, under the name that it has for it."""
        return self.flag("--memory-budget-mb", "--vram-budget-mb", value=str(megabytes))


HERE = Checkout(OURS, Path(__file__).parents[2], Path(sys.executable))


@dataclass(frozen=True)
class Server:
    """A running server. ``path`` is where it writes text, ``limit`` is its word for max_tokens."""

    name: str
    port: int
    pid: int
    path: str
    limit: str

    def body(self, prompt: str, tokens: int, **fields: object) -> dict[str, object]:
        """Return a request for exactly so many tokens, as a stream."""
        body = {"prompt": prompt, self.limit: tokens, "stream": True, "ignore_eos": True}
        return body | {"temperature": 0.8, "seed": 1} | fields

    def bodies(self, prompts: Sequence[str], tokens: int) -> list[dict[str, object]]:
        """Return a request for each prompt, with a seed of its own."""
        return [self.body(prompt, tokens, seed=seed) for seed, prompt in enumerate(prompts)]

    def cpu_s(self) -> float:
        """Return processor time that it and its workers have taken so far, in seconds."""
        return tree_cpu_s(self.pid)


def own_cpu_s(pid: int) -> float:
    """Return the processor time of a process's own threads so far, in seconds.

    Where the kernel counts in nanoseconds; elsewhere in its ticks.
    """
    try:
        threads = Path(f"/proc/{pid}/task").iterdir()
        return sum(int((each / "schedstat").read_text().split()[0]) for each in threads) / 1e9
    except OSError:
        now = psutil.Process(pid).cpu_times()
        return float(now.user + now.system)


def tree_cpu_s(pid: int) -> float:
    """Return the processor time of a process and of those below it so far, in seconds."""
    server = psutil.Process(pid)
    times = [each.cpu_times() for each in (server, *server.children(recursive=True))]
    return float(sum(each.user + each.system for each in times))


def wait_until_ready_to_swap(port: int, pid: int) -> None:
    """Wait until one warm worker is there and has imported its runtime.

    Nothing says so; but then nothing is computed any more.
    """
    until_s = time.monotonic() + DEADLINE_S
    while _warm_workers(port) != 1 or not _is_at_rest(pid):
        if time.monotonic() > until_s:
            raise TimeoutError(f"no warm worker was ready within {DEADLINE_S} s")


def _warm_workers(port: int) -> object:
    status = json.loads(get(port, "/status"))
    return next(number for name, number in status.items() if _counts_workers(name))


def _counts_workers(name: str) -> bool:
    """Return whether a flag or a member of the status is about workers that wait.

    They had another word before them in earlier revisions.
    """
    return name.endswith(("-workers", "_workers"))


def _is_at_rest(pid: int) -> bool:
    before_s = tree_cpu_s(pid)
    time.sleep(REST_S)
    return tree_cpu_s(pid) - before_s <= REST_S * MOST_AT_REST


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def get(port: int, path: str) -> bytes:
    """Return the body of a small response."""
    return _ask(f"http://127.0.0.1:{port}{path}")


def _ask(request: str | urllib.request.Request) -> bytes:
    with urllib.request.urlopen(request, timeout=DEADLINE_S) as response:
        body: bytes = response.read()
        return body


@contextmanager
def modeld(model: Path, size: Size, checkout: Checkout = HERE) -> Iterator[Server]:
    """`modeld serve` of a checkout, with the model in memory."""
    port = free_port()
    options = {"context": size.context, "slots": size.slots, "threads": size.threads}
    command = [
        *checkout.command("modeld.cli.main", "serve", "--addr", f"127.0.0.1:{port}"),
        *("--models-dir", str(model.parent), "--default-model", model.name, "--log-level", "off"),
        *("--models", json.dumps({model.name: options})),
        *checkout.warm_workers(0),
        *checkout.sharing,
    ]
    with running(command, port, "/healthz", checkout.root) as pid:
        load = f"http://127.0.0.1:{port}/models/{model.name}/load"
        _ask(urllib.request.Request(load, method="POST"))
        yield Server(checkout.name, port, pid, "/infer", "max_tokens")


@contextmanager
def llama_server(name: str, binary: str, model: Path, size: Size, *flags: str) -> Iterator[Server]:
    """llama.cpp's own server with the same model and size, and what is further asked of it."""
    port = free_port()
    command = [
        *(binary, "-m", str(model), "--host", "127.0.0.1", "--port", str(port)),
        *("-c", str(size.context), "-np", str(size.slots), "-t", str(size.threads), *flags),
    ]
    with running(command, port, "/health") as pid:
        yield Server(name, port, pid, "/completion", "n_predict")


@contextmanager
def running(command: list[str], port: int, ready: str, folder: Path = HERE.root) -> Iterator[int]:
    """A server's process, which is there once its path ``ready`` gives a response."""
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet, cwd=folder) as process:
        try:
            _wait_until_ready(process, port, ready)
            yield process.pid
        finally:
            process.terminate()


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, path: str) -> None:
    until_s = time.monotonic() + DEADLINE_S
    while time.monotonic() < until_s:
        try:
            get(port, path)
        except (urllib.error.URLError, ConnectionError):
            if process.poll() is not None:
                raise RuntimeError(f"{process.args!r} ended: {process.returncode}") from None
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f"{process.args!r} was not ready within {DEADLINE_S} s")


def computed_tokens(last: dict[str, Any]) -> tuple[int, int]:
    """Return how many tokens of prompt and generation were computed, by a response's last event."""
    if "timings" in last:
        return last["timings"]["prompt_n"], last["timings"]["predicted_n"]
    usage = last["usage"]
    return usage["prompt_tokens"] - usage["cached_tokens"], usage["completion_tokens"]
