# SPDX-License-Identifier: GPL-3.0-only
"""Runs the benchmarks and prints a row for each figure.

    python -m tests.bench [--repeats N] [--threads N] [NAME …]

All but `startup`, `streams` and `dialects` need the models. `swap`, `throughput`, `chat-mix`,
`first-token`, `shared-prefix` and `long-prompt` need llama-server too, whose path is given with
--llama-server. `make bench` brings both; llama-server takes it about 13 minutes, once.
"""

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from modeld_llama_cpp.native.cores import usable_cores

from tests.bench import dialects, mixed, peer, reading, returning, startup, streams, swap
from tests.bench.contest import Contest
from tests.support.gguf.real_models import GEMMA3, SMOLLM2, models_folder

ROOT = Path(__file__).parents[2]
SUPPORT = ROOT / "plugins/modeld-llama-cpp/tests/support"


def steps() -> list[str]:
    """Return the engine's steps, in a process of their own."""
    return _run("bench_steps.py", str(models_folder() / SMOLLM2), "--threads", "1")


def constraints(repeats: int, threads: int) -> list[str]:
    """Return constrained generations against free ones, in a process for each model."""
    options = ["--repeats", str(repeats), "--threads", str(threads)]
    models = (str(models_folder() / name) for name in (SMOLLM2, GEMMA3))
    return [row for model in models for row in _run("bench_constraints.py", model, *options)]


def _run(script: str, *arguments: str) -> list[str]:
    command = [sys.executable, str(SUPPORT / script), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def figures(contest: Contest) -> dict[str, Callable[[], list[str]]]:
    """Return what can be measured, by name; each returns its rows."""
    repeats = contest.repeats
    return {
        "startup": partial(startup.measure, repeats),
        "streams": partial(streams.measure, repeats),
        "dialects": partial(dialects.measure, repeats),
        "steps": steps,
        "constraints": partial(constraints, repeats, contest.threads),
        "swap": lambda: swap.measure(repeats, contest.llama_server, models_folder()),
        "throughput": partial(peer.throughput, contest),
        "chat-mix": partial(mixed.chat_mix, contest),
        "first-token": partial(peer.first_token, contest),
        "shared-prefix": partial(peer.shared_prefix, contest),
        "long-prompt": partial(peer.long_prompt, contest),
        "second-turn": partial(reading.second_turn, contest),
        "cancel": partial(reading.cancel, contest),
        "returning-chat": partial(returning.returning_chat, contest),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="what to measure; all unless given"
    )
    parser.add_argument("--repeats", type=int, default=7, help="measurements for each median")
    parser.add_argument("--threads", type=int, default=usable_cores(), help="of both servers")
    parser.add_argument("--llama-server", default=os.environ.get("LLAMA_SERVER", "llama-server"))
    given = parser.parse_args()
    rows = figures(
        Contest(
            repeats=given.repeats,
            llama_server=given.llama_server,
            threads=given.threads,
        )
    )
    unknown = sorted(set(given.names) - set(rows))
    if unknown:
        parser.error(f"no such figure: {', '.join(unknown)}; there are {', '.join(rows)}")
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores,", end=" ")
    print(f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}")
    for name in given.names or rows:
        print(*rows[name](), sep="\n", flush=True)


if __name__ == "__main__":
    main()
