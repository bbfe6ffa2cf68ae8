# SPDX-License-Identifier: GPL-3.0-only
"""Runs the benchmarks and prints a row for each figure.

    python -m tests.bench [--short] [--json FILE] [--base FOLDER] [--repeats N] [NAME …]

All but `startup`, `streams`, `dialects`, `growth` and `connections` need the models. `swap` and
what compares with llama-server need that too; --no-peer leaves it out. `make bench` brings both;
llama-server takes it about 13 minutes, once. How a figure is added: see :mod:`tests.bench.rows`.
"""

import argparse
import json
import os
import platform
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from modeld_llama_cpp.native.cores import usable_cores

from tests.bench.contest import SHORT_TURNS, Contest
from tests.bench.figures import (
    dialects,
    growth,
    json_texts,
    mixed,
    peer,
    reading,
    returning,
    startup,
    streams,
    swap,
    throughput,
)
from tests.bench.rows import BASE, Row, Rows, against_base, documents
from tests.bench.servers import Checkout
from tests.support.gguf.real_models import GEMMA3, SMOLLM2, models_folder

SUPPORT = Path("plugins/modeld-llama-cpp/tests/support")
TURNS = 7


def steps(contest: Contest) -> list[str]:
    """Return the engine's steps, in a process of their own."""
    short = ["--tokens", "24"] if contest.is_short else []
    return _run(contest, "bench_steps.py", str(models_folder() / SMOLLM2), "--threads", "1", *short)


def constraints(contest: Contest) -> list[str]:
    """Return constrained generations against free ones, in a process for each model."""
    options = [
        "--repeats",
        str(contest.sized(contest.repeats, 1)),
        "--threads",
        str(contest.threads),
    ]
    if contest.is_short:
        options += ["--clients", "8"]
    names = [SMOLLM2] if contest.is_short else [SMOLLM2, GEMMA3]
    models = (str(models_folder() / name) for name in names)
    return [
        row for model in models for row in _run(contest, "bench_constraints.py", model, *options)
    ]


def _run(contest: Contest, script: str, *arguments: str) -> list[str]:
    """Run a script of each checkout, and return what it says."""
    rows: list[str] = []
    for checkout in contest.checkouts:
        command = [str(checkout.python), str(checkout.root / SUPPORT / script), *arguments]
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, cwd=checkout.root
        )
        said = f"{checkout.name}: " if contest.base else ""
        rows += [f"{said}{line}" for line in done.stdout.splitlines()]
    return rows


def figures(contest: Contest) -> dict[str, Callable[[], Rows]]:
    """Return what can be measured, by name; each returns its rows."""
    measures: dict[str, Callable[[Contest], Rows]] = {
        "throughput": throughput.throughput,
        "alike": throughput.alike,
        "chat-mix": mixed.chat_mix,
        "json": json_texts.json_texts,
        "first-token": peer.first_token,
        "shared-prefix": peer.shared_prefix,
        "long-prompt": peer.long_prompt,
        "swap": swap.measure,
        "returning-chat": returning.returning_chat,
        "streams": streams.measure,
        "growth": growth.growth,
        "connections": growth.connections,
        "startup": startup.measure,
        "dialects": dialects.measure,
        "steps": steps,
        "constraints": constraints,
        "second-turn": reading.second_turn,
        "cancel": reading.cancel,
    }
    return {name: partial(measure, contest) for name, measure in measures.items()}


NOT_SHORT = ("startup", "dialects", "steps", "constraints", "second-turn", "cancel")
"""What the short form measures only where it is named: no goal of speed against others."""


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="what to measure; all unless given"
    )
    parser.add_argument("--repeats", type=int, help=f"turns for each median (default {TURNS})")
    parser.add_argument("--short", action="store_true", help="less of all, in some six minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there, too")
    parser.add_argument("--base", type=Path, metavar="FOLDER", help="a checkout to compare with")
    parser.add_argument("--threads", type=int, default=usable_cores(), help="of both servers")
    parser.add_argument("--llama-server", default=os.environ.get("LLAMA_SERVER", "llama-server"))
    parser.add_argument("--no-peer", action="store_true", help="compare with no llama-server")
    given = parser.parse_args()
    measures = figures(
        Contest(
            repeats=given.repeats or (SHORT_TURNS if given.short else TURNS),
            llama_server=None if given.no_peer else given.llama_server,
            threads=given.threads,
            base=given.base and _checkout(given.base.resolve()),
            is_short=given.short,
        )
    )
    unknown = sorted(set(given.names) - set(measures))
    if unknown:
        parser.error(f"no such figure: {', '.join(unknown)}; there are {', '.join(measures)}")
    names = given.names or [each for each in measures if not (given.short and each in NOT_SHORT)]
    rows = _measured({name: measures[name] for name in names}, given)
    if given.base is not None:
        print(*against_base(rows), sep="\n")


def _measured(
    measures: dict[str, Callable[[], Rows]], given: argparse.Namespace
) -> list[Row | str]:
    """Measure, print and write down one figure after the other, and return all rows."""
    about = _machine(given)
    print(*about.values(), sep=", ", flush=True)
    rows: list[Row | str] = []
    began_s = time.monotonic()
    for name, measure in measures.items():
        before_s = time.monotonic()
        found = measure()
        print(*found, sep="\n", flush=True)
        print(f"  ({name}: {time.monotonic() - before_s:.0f} s)", flush=True)
        rows += found
        if given.json is not None:  # after each figure: who breaks a run off keeps what there is
            document = {**about, "rows": documents(rows)}
            given.json.write_text(json.dumps(document, indent=1) + "\n")
    load = f"load {os.getloadavg()[1]:.1f} over the last five minutes"
    print(f"{time.monotonic() - began_s:.0f} s in all, {load}", flush=True)
    return rows


def _machine(given: argparse.Namespace) -> dict[str, str]:
    """Return what a reader must know of a run before they believe its numbers."""
    options = ["--short"] * given.short + ["--no-peer"] * given.no_peer
    options += [] if given.repeats is None else [f"--repeats {given.repeats}"]
    options += [f"--threads {given.threads}", *given.names]
    base = "" if given.base is None else f" BENCH_BASE={given.base.name[:12]}"
    return {
        "command": f'make bench BENCH_ARGS="{" ".join(options)}"{base}',
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores,"
        f" Python {platform.python_version()}, {given.threads} threads to compute with",
        "load": f"load {os.getloadavg()[0]:.1f} before",
    }


def _checkout(root: Path) -> Checkout:
    return Checkout(BASE, root, root / ".venv/bin/python")


if __name__ == "__main__":
    main()
