# SPDX-License-Identifier: GPL-3.0-only
"""`modeld serve` as a process of its own, and a client that counts what became of its requests."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

RIG = Path(__file__).parents[1] / "worker_rig"
DEADLINE_S = 30.0


class Served:
    """A running server: its address, its process, its log."""

    def __init__(self, process: subprocess.Popen[str], url: str, log: Path) -> None:
        self.process = process
        self.url = url
        self._log = log

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=DEADLINE_S)

    def post(self, path: str, body: Mapping[str, object] | None = None) -> httpx.Response:
        return httpx.post(self.url + path, json=body, timeout=DEADLINE_S)

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.get("/status").json()
        return status

    def instance(self, model: str) -> dict[str, Any]:
        for instance in self.status()["instances"]:
            if instance["model_id"] == model:
                found: dict[str, Any] = instance
                return found
        raise AssertionError(f"no instance of {model}")

    def state(self, model: str) -> str:
        """Return the model's state; one that is not listed is absent."""
        return str(self.instance_or_none(model, "state") or "absent")

    def instance_or_none(self, model: str, member: str) -> Any:
        """Return one member of a model's instance, or nothing while there is no instance."""
        found = [each for each in self.status()["instances"] if each["model_id"] == model]
        return found[0][member] if found else None

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def exit_code(self) -> int:
        return self.process.wait(DEADLINE_S)


@contextmanager
def serving(
    models_dir: Path | None,
    *arguments: str,
    env: Mapping[str, str] | None = None,
    wrapper: Sequence[str] = (),
) -> Iterator[Served]:
    """Start a server on a free port and stop it afterwards; the rig's backend is installed."""
    command = [*wrapper, sys.executable, "-m", "modeld", "serve", *arguments]
    if not any(argument.startswith("--config") for argument in arguments):
        command += ["--addr", "127.0.0.1:0"]
    if models_dir is not None:
        command += ["--models-dir", str(models_dir)]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MODELD_")}
    environ |= {"PYTHONPATH": str(RIG)} | dict(env or {})
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with (
            log.open("w") as stderr,
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=stderr, text=True, env=environ
            ) as process,
        ):
            try:
                yield Served(process, _announced(process, log), log)
            finally:
                process.kill()


def _announced(process: subprocess.Popen[str], log: Path) -> str:
    """Return the address from the server's first lines."""
    assert process.stdout is not None
    for line in process.stdout:
        found = re.search(r"http://[\w.:\[\]]+", line)
        if found:
            return found.group()
    raise AssertionError(f"the server did not start: {log.read_text()}")


async def until(holds: Callable[[], bool]) -> None:
    """Poll a server's state; the deadline is far beyond what any test here needs."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline_s, "it never came to that"
        await asyncio.sleep(0.01)


def client() -> httpx.AsyncClient:
    """Return a client with as many connections as a test asks for."""
    limits = httpx.Limits(max_connections=None)
    return httpx.AsyncClient(timeout=DEADLINE_S * 4, limits=limits)


def script(**plan: object) -> dict[str, object]:
    """Return a request that tells the rig what to do."""
    return {"prompt": json.dumps(plan)}


class Ledger:
    """Counts requests by what became of them; every one is in exactly one class."""

    def __init__(self) -> None:
        self.sent = 0
        self.outcomes: Counter[str] = Counter()

    def check(self) -> None:
        assert self.sent == sum(self.outcomes.values()), (self.sent, self.outcomes)
        assert not self.outcomes["lost"], self.outcomes


async def lines(
    client: httpx.AsyncClient, url: str, body: Mapping[str, object]
) -> AsyncIterator[dict[str, Any]]:
    """Yield the objects of one streamed response, or the one of a refusal."""
    async with client.stream("POST", f"{url}/infer", json=body) as response:
        if response.status_code != 200:
            await response.aread()
            yield response.json()
            return
        async for line in response.aiter_lines():
            yield json.loads(line)


async def ask(
    client: httpx.AsyncClient,
    url: str,
    ledger: Ledger,
    body: Mapping[str, object],
    begun: asyncio.Event | None = None,
) -> list[dict[str, Any]]:
    """Return one request, entered into the ledger; ``begun`` is set at its first line."""
    ledger.sent += 1
    heard: list[dict[str, Any]] = []
    try:
        async for line in lines(client, url, body):
            heard.append(line)  # what came before a failure counts too
            if begun is not None:
                begun.set()
    except httpx.HTTPError:
        ledger.outcomes["lost"] += 1
        return heard
    last = heard[-1] if heard else {}
    if last.get("done"):
        ledger.outcomes["completed"] += 1
    elif "reason" in last:
        ledger.outcomes["refused" if len(heard) == 1 else "failed"] += 1
    else:
        ledger.outcomes["lost"] += 1
    return heard
