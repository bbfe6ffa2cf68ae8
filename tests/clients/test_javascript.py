# SPDX-License-Identifier: GPL-3.0-only
"""Clients for JavaScript: each ``js/*.test.js``, and the examples, with node and a real server."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent / "js"
EXAMPLES = Path(__file__).parents[2] / "examples" / "clients"
MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture
def run(server: str, tmp_path: Path) -> Callable[..., str]:
    """Return what runs a script with node beside the packages that ``make clients`` installs."""

    def run(script: Path, *options: str) -> str:
        shutil.copy(script, tmp_path)
        shutil.copy(SCRIPTS / "package.json", tmp_path)
        (tmp_path / "node_modules").symlink_to(os.environ["MODELD_CLIENTS_NODE_MODULES"])
        addresses = {"MODELD_TEST_SERVER": server, "OPENAI_BASE_URL": f"{server}/v1"}
        done = subprocess.run(
            ["node", *options, script.name],
            cwd=tmp_path,
            env={**os.environ, **addresses, "MODELD_TEST_MODEL": MODEL},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.mark.parametrize("script", sorted(each.name for each in SCRIPTS.glob("*.test.js")))
def test_a_client_for_javascript(script: str, run: Callable[..., str]) -> None:
    run(SCRIPTS / script, "--test")


@pytest.mark.parametrize("script", sorted(each.name for each in EXAMPLES.glob("*.mjs")))
def test_an_example_runs(script: str, run: Callable[..., str]) -> None:
    assert run(EXAMPLES / script)
