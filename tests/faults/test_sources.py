# SPDX-License-Identifier: GPL-3.0-only
"""A source that hangs keeps a server from nothing but that source's own models."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.support.gguf.tiny_gguf import write_gguf
from tests.support.http.served import RIG, Served, serving

TO_STOP_S = 15.0
"""The server gives running requests up at once here; the rest is for a busy machine."""

PLUGIN = """
import asyncio
from pathlib import Path

from modeld import ModelSpec, RegistrySource, hookimpl


class Late(RegistrySource):
    name = "late"

    async def list_models(self):
        ids = {read}
        return [ModelSpec(id=model, name=model, path="/" + model) for model in ids.split()]


@hookimpl
def modeld_register_sources():
    return [Late()]
"""


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    """Return a FIFO that nobody writes to: whoever opens it hangs."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return path


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    write_gguf(folder / "quick.gguf", "rig")
    return folder


def install(folder: Path, read: str) -> Path:
    """Return a plugin whose source gets its list from ``read``; the folder to import it from."""
    (folder / "late-1.0.dist-info").mkdir(parents=True)
    (folder / "late.py").write_text(PLUGIN.replace("{read}", read))
    (folder / "late-1.0.dist-info" / "METADATA").write_text("Name: late\nVersion: 1.0\n")
    (folder / "late-1.0.dist-info" / "entry_points.txt").write_text("[modeld]\nlate = late\n")
    return folder


@pytest.fixture(params=["{path}.read_text()", "await asyncio.to_thread({path}.read_text)"])
def plugin(tmp_path: Path, fifo: Path, request: pytest.FixtureRequest) -> Path:
    """Return two ways to hang: in the coroutine itself, and in a thread that it waits for."""
    return install(tmp_path / "plugin", request.param.replace("{path}", f"Path({str(fifo)!r})"))


def ids(served: Served) -> set[str]:
    return {model["id"] for model in served.get("/models").json()["models"]}


def path_with(plugin: Path) -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join([str(plugin), str(RIG)])}


def serving_with(models: Path, plugin: Path) -> AbstractContextManager[Served]:
    quick = ("--source-timeout-s", "0.5", "--drain-timeout-s", "0")
    return serving(models, *quick, env=path_with(plugin))


def reader_of(fifo: Path) -> int:
    """Wait until somebody has opened the FIFO for reading; a writer's end that writes nothing."""
    deadline_s = time.monotonic() + TO_STOP_S
    while True:
        try:
            return os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as exc:
            if exc.errno != errno.ENXIO or time.monotonic() > deadline_s:
                raise


def test_a_source_that_hangs_forbids_neither_the_start_nor_the_end(
    models: Path, plugin: Path
) -> None:
    with serving_with(models, plugin) as served:
        assert ids(served) == {"quick.gguf"}
        why = "late: it has not answered for 0.5 s; its models come when it does"
        assert served.status()["error"] == why
        assert "source late failed: it has not answered for 0.5 s" in served.log()
        response = served.post("/infer", {"model": "quick.gguf", "prompt": "x", "max_tokens": 1})
        assert response.status_code == 200
        assert served.post("/infer", {"model": "late", "prompt": "x"}).status_code == 404
        begun_s = time.monotonic()
        served.terminate()
        assert served.exit_code() == 0
        assert time.monotonic() - begun_s < TO_STOP_S
        assert "did not close" not in served.log()


def test_the_models_of_a_late_source_come_when_it_answers(
    models: Path, plugin: Path, fifo: Path
) -> None:
    with serving_with(models, plugin) as served:
        assert ids(served) == {"quick.gguf"}
        fifo.write_text("late-1 late-2")
        deadline_s = time.monotonic() + TO_STOP_S
        while ids(served) == {"quick.gguf"}:
            assert time.monotonic() < deadline_s
        assert ids(served) == {"quick.gguf", "late-1", "late-2"}
        assert "error" not in served.status()
        assert "source late has answered after" in served.log()


def test_a_server_that_waits_for_a_source_at_its_start_can_be_stopped(
    models: Path, plugin: Path, fifo: Path
) -> None:
    command = [sys.executable, "-m", "modeld", "serve", "--addr", "127.0.0.1:0"]
    command += ["--models-dir", str(models), "--source-timeout-s", "600"]
    with subprocess.Popen(command, env=os.environ | path_with(plugin)) as process:
        try:
            silent = reader_of(fifo)
            process.send_signal(signal.SIGTERM)
            assert process.wait(TO_STOP_S) == 0
            os.close(silent)
        finally:
            process.kill()
