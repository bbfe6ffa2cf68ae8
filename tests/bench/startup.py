# SPDX-License-Identifier: GPL-3.0-only
"""What it costs to start: importing, asking for help, standing idle."""

import statistics
import subprocess
import sys
import tempfile
import time

import psutil

from tests.bench.servers import free_port, get


def _seconds(repeats: int, *arguments: str) -> float:
    times = []
    for _ in range(repeats):
        began_s = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - began_s)
    return statistics.median(times)


def _idle_rss_mb() -> tuple[float, float]:
    """Resident memory of an idle server without a model, and of its one warm worker, in MiB."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "modeld", "serve", "--log-level", "off"]
        command += ["--addr", f"127.0.0.1:{port}", "--models-dir", folder]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                process.stdout.readline()
                for path in ("/status", "/models", "/metrics"):
                    get(port, path)
                time.sleep(3)  # the warm worker imports its runtime meanwhile
                server = psutil.Process(process.pid)
                warm_workers = sum(
                    child.memory_info().rss for child in server.children(recursive=True)
                )
                return server.memory_info().rss / 2**20, warm_workers / 2**20
            finally:
                process.terminate()


def measure(repeats: int) -> list[str]:
    """Return the rows of the table."""
    bare_s = _seconds(repeats, "-c", "pass")
    import_s = _seconds(repeats, "-c", "import modeld")
    help_s = _seconds(repeats, "-m", "modeld.cli.main", "--help")
    server_mb, warm_mb = _idle_rss_mb()
    return [
        f"import modeld: {(import_s - bare_s) * 1000:.0f} ms beyond Python itself (goal 100)",
        f"modeld --help: {help_s * 1000:.0f} ms (goal 300)",
        f"idle server: {server_mb:.0f} MiB resident (goal 80), its warm worker {warm_mb:.0f} MiB",
    ]
