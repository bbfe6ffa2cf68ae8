# SPDX-License-Identifier: GPL-3.0-only
"""What it costs to start: importing, asking for help, standing idle."""

import subprocess
import tempfile
import time
from collections.abc import Callable

import psutil

from tests.bench.contest import Contest, to_and_fro
from tests.bench.rows import Goal, Measured, Row
from tests.bench.servers import (
    Checkout,
    free_port,
    get,
    running,
    wait_until_ready_to_swap,
)


def _ms(checkout: Checkout, *arguments: str) -> float:
    """Return how long a checkout's Python runs with these arguments, in milliseconds."""
    began_s = time.perf_counter()
    command = [str(checkout.python), *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=checkout.root)
    return (time.perf_counter() - began_s) * 1000


def _import_ms(checkout: Checkout) -> float:
    return _ms(checkout, "-c", "import modeld") - _ms(checkout, "-c", "pass")


def _help_ms(checkout: Checkout) -> float:
    return _ms(checkout, "-m", "modeld.cli.main", "--help")


def _idle_rss_mb(checkout: Checkout) -> tuple[float, float]:
    """Resident memory of an idle server without a model, and of its one warm worker, in MiB."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = checkout.command("modeld.cli.main", "serve", "--log-level", "off")
        command += [*checkout.sharing, "--addr", f"127.0.0.1:{port}", "--models-dir", folder]
        with running(command, port, "/healthz", checkout.root) as pid:
            for path in ("/status", "/models", "/metrics"):
                get(port, path)
            wait_until_ready_to_swap(port, pid)
            server = psutil.Process(pid)
            warm_workers = sum(each.memory_info().rss for each in server.children(recursive=True))
            return server.memory_info().rss / 2**20, warm_workers / 2**20


def measure(contest: Contest) -> list[Row]:
    """Return the rows of the table."""

    def in_turn(once: Callable[[Checkout], float]) -> dict[str, list[float]]:
        measured: dict[str, list[float]] = {each.name: [] for each in contest.checkouts}
        for turn in contest.turns():
            for checkout in to_and_fro(contest.checkouts, turn):
                measured[checkout.name].append(once(checkout))
        return measured

    imports, helps = in_turn(_import_ms), in_turn(_help_ms)
    resident = {each.name: _idle_rss_mb(each) for each in contest.checkouts}
    servers = {name: [server_mb] for name, (server_mb, _) in resident.items()}
    warm = {name: [warm_mb] for name, (_, warm_mb) in resident.items()}
    idle, beyond = "idle server, resident memory", "import modeld, beyond Python itself"
    return [
        _row("import", beyond, "ms", imports, Goal(most=100)),
        _row("help", "modeld --help", "ms", helps, Goal(most=300)),
        _row("idle", idle, "MiB", servers, Goal(most=80)),
        _row("warm", "  its warm worker", "MiB", warm),
    ]


def _row(name: str, what: str, unit: str, measured: Measured, goal: Goal | None = None) -> Row:
    return Row(name=name, what=what, unit=unit, measured=measured, form=".0f", goal=goal)
