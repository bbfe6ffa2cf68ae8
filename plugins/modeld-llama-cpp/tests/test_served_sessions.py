# SPDX-License-Identifier: GPL-3.0-only
"""A chat goes on where it was, though its model has left memory meanwhile, or the whole server."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_gguf import write_random

from tests.support.http.served import Served, serving

OPTIONS = json.dumps({"*": {"context": 2048, "threads": 1}})
PROMPT = "The same beginning of many prompts, long enough to be worth a wait. " * 4
MODEL = "a.gguf"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    write_random(folder / MODEL, seed=343)
    return folder


@pytest.fixture
def served(models: Path) -> Iterator[Served]:
    with serving(models, "--models", OPTIONS) as server:
        yield server


def cached(served: Served) -> int:
    asked = {"prompt": PROMPT, "max_tokens": 1, "temperature": 0, "stream": False}
    count: int = served.post("/infer", asked).json()["usage"]["cached_tokens"]
    return count


def leave(served: Served) -> int:
    """Have the model leave memory, and return the MiB that it has left behind."""
    served.post(f"/models/{MODEL}/unload", {})
    left: int = served.get("/status").json()["sessions_mb"]
    return left


def test_a_chat_goes_on_after_its_model_was_unloaded(served: Served) -> None:
    assert (cached(served), leave(served)) == (0, 1)
    assert cached(served) == len(PROMPT)
    assert served.get("/status").json()["sessions_mb"] == 0, "it counts with the model again"
    pid = served.get("/status").json()["instances"][0]["pid"]
    os.kill(pid, signal.SIGKILL)
    assert leave(served) == 0


def test_sessions_in_a_folder_outlive_the_server(models: Path, tmp_path: Path) -> None:
    arguments = ("--models", OPTIONS, "--session-folder", str(tmp_path / "sessions"))
    with serving(models, *arguments) as server:
        assert cached(server) == 0
        server.terminate()
        assert server.exit_code() == 0
    with serving(models, *arguments) as server:
        assert server.get("/status").json()["sessions_mb"] == 1
        assert cached(server) == len(PROMPT)
