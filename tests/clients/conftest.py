# SPDX-License-Identifier: GPL-3.0-only
"""A real server with a real model, for the clients that people use.

These tests run in environments of the clients' own, where modeld is not installed. Elsewhere they
are left out: `make clients` runs them. Those in the folder apart have an environment each, in which
it names them one by one.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
EMBEDDER = "gemma-3-270m-q4_k_m.gguf"
SETTINGS = {"models": {EMBEDDER: {"pooling": "mean", "context": 512}}}

collect_ignore_glob = ["apart", *([] if importlib.util.find_spec("openai") else ["test_*.py"])]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start ``modeld serve`` with what is installed in .venv, and return its address."""
    settings = tmp_path_factory.mktemp("server") / "modeld.json"
    settings.write_text(json.dumps(SETTINGS))
    modeld = os.environ.get("MODELD_COMMAND", str(ROOT / ".venv" / "bin" / "modeld"))
    models = os.environ.get("MODELD_TEST_MODELS", str(ROOT / "models"))
    command = [modeld, "serve", "--addr", "127.0.0.1:0", "--models-dir", models]
    command += ["--default-model", MODEL, "--config", str(settings)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MODELD_")}
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=clean
        ) as process,
    ):
        try:
            yield address(process)
        finally:
            process.terminate()
            assert process.wait(30) == 0


@pytest.fixture
def example(server: str) -> Callable[[str], list[str]]:
    """Return what runs an example against the server, and returns what it prints, by lines."""

    def run(name: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, str(ROOT / "examples" / "clients" / name)],
            env={**os.environ, "OPENAI_BASE_URL": f"{server}/v1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return run


def address(process: subprocess.Popen[str]) -> str:
    """Return the address from the server's first lines."""
    assert process.stdout is not None
    for line in process.stdout:
        if found := re.search(r"http://[\w.:\[\]]+", line):
            return found.group()
    sys.exit("the server did not start")
