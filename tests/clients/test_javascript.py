# SPDX-License-Identifier: GPL-3.0-only
"""Clients for JavaScript: each ``js/*.test.js`` is run with node against the real server."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent / "js"
MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.mark.parametrize("script", sorted(each.name for each in SCRIPTS.glob("*.test.js")))
def test_a_client_for_javascript(script: str, server: str, tmp_path: Path) -> None:
    """Run a script beside the packages that ``make clients`` has installed."""
    shutil.copy(SCRIPTS / script, tmp_path)
    shutil.copy(SCRIPTS / "package.json", tmp_path)
    (tmp_path / "node_modules").symlink_to(os.environ["MODELD_CLIENTS_NODE_MODULES"])
    done = subprocess.run(
        ["node", "--test", script],
        cwd=tmp_path,
        env={**os.environ, "MODELD_TEST_SERVER": server, "MODELD_TEST_MODEL": MODEL},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
