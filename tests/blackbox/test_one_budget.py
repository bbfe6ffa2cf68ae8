# SPDX-License-Identifier: GPL-3.0-only
"""Several processes on one machine: who has a memory budget keeps others from having one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.support.http.served import DEADLINE_S, RIG, serving

BUDGET = ("--memory-budget-mb", "150")


def refused(models: Path, *command: str) -> str:
    """Return what a command says that does not start."""
    done = subprocess.run(
        [sys.executable, "-m", "modeld", *command, "--models-dir", str(models)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        env={**os.environ, "PYTHONPATH": str(RIG)},
        check=False,
    )
    assert done.returncode == 3, done.stderr
    return done.stderr


def test_a_second_server_with_a_budget_does_not_start(rig_models: Path) -> None:
    with serving(rig_models, *BUDGET) as first:
        said = refused(rig_models, "serve", "--addr", "127.0.0.1:0", *BUDGET)
        assert f"(pid {first.process.pid}: " in said
        assert "set share_machine" in said
        with (
            serving(rig_models, *BUDGET, "--share-machine") as second,
            serving(rig_models) as third,
        ):
            for each in (second, third):
                body = {"model": "a.gguf", "prompt": "hi"}
                assert each.post("/infer", body).status_code == 200
        first.process.kill()
        first.exit_code()
        with serving(rig_models, *BUDGET) as again:
            assert again.get("/healthz").status_code == 200


@contextmanager
def uvicorn(models: Path, workers: int, log: Path) -> Iterator[str]:
    """Serve as a host does that starts several processes, and yield the address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["--factory", "modeld:create_app", "--workers", str(workers), "--port", str(port)]
    settings = {"MODELD_MEMORY_BUDGET_MB": "150", "MODELD_MODELS_DIR": str(models)}
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            [sys.executable, "-m", "uvicorn", *command],
            stderr=stderr,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": str(RIG), **settings},
        ) as process,
    ):
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(DEADLINE_S)


def until_said(log: Path, *texts: str) -> None:
    """Wait for what a process says; the file grows without telling."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not all(text in log.read_text() for text in texts):
        assert time.monotonic() < deadline_s, log.read_text()
        time.sleep(0.05)


def test_of_several_workers_one_serves_and_the_others_say_why_not(
    rig_models: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with uvicorn(rig_models, 2, log) as url:
        until_said(log, "Application startup complete", "has the memory budget of this machine")
        body = {"model": "a.gguf", "prompt": "hi"}
        assert httpx.post(f"{url}/infer", json=body, timeout=DEADLINE_S).status_code == 200
