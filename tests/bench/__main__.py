# SPDX-License-Identifier: GPL-3.0-only
"""Runs the benchmarks and prints a row for each figure.

    python -m tests.bench [--repeats N] [startup|streams|steps|swap …]

`swap` needs llama-server, whose path is given with --llama-server, and `steps` and `swap` need
the models. `make bench` brings both; llama-server takes it about 13 minutes, once.
"""

import argparse
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.bench import startup, streams, swap
from tests.real_models import SMOLLM2, models_folder

ROOT = Path(__file__).parents[2]
STEPS = ROOT / "plugins/modeld-llama-cpp/tests/bench_steps.py"


def steps() -> list[str]:
    """The engine's steps, in a process of their own."""
    command = [sys.executable, str(STEPS), str(models_folder() / SMOLLM2), "--threads", "1"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.splitlines()


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="startup, streams, steps, swap")
    parser.add_argument("--repeats", type=int, default=7, help="measurements for each median")
    parser.add_argument("--llama-server", default=os.environ.get("LLAMA_SERVER", "llama-server"))
    given = parser.parse_args()
    repeats = given.repeats
    rows: dict[str, Callable[[], list[str]]] = {
        "startup": lambda: startup.measure(repeats),
        "streams": lambda: streams.measure(repeats),
        "steps": steps,
        "swap": lambda: swap.measure(repeats, given.llama_server, models_folder()),
    }
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores,", end=" ")
    print(f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}")
    for name in given.names or rows:
        print(*rows[name](), sep="\n", flush=True)


if __name__ == "__main__":
    main()
