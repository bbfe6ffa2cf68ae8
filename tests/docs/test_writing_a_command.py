# SPDX-License-Identifier: GPL-3.0-only
"""The command on the page "Writing a command" works as the page says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.docs.pages import ROOT, every_block

PAGE = "how-to/writing-a-command.md"
MIB = 1 << 20


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """Return a folder into which the example is installed."""
    project = shutil.copytree(ROOT / "examples" / "first_command", tmp_path / "project")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    target = ["--no-build-isolation", "--target", str(tmp_path / "installed")]
    subprocess.run([*pip, *target, str(project)], check=True, capture_output=True)
    return tmp_path / "installed"


def modeld(installed: Path, *words: str) -> str:
    """Return what a command line prints where the example is installed."""
    done = subprocess.run(
        [sys.executable, "-m", "modeld", *words],
        cwd=installed.parent,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout


def test_the_command_of_the_page_prints_what_the_page_shows(installed: Path) -> None:
    (shown,) = [block.text for block in every_block(PAGE) if block.language == "text"]
    models = installed.parent / "models"
    models.mkdir()
    sizes = {"SmolLM2-135M-Instruct.Q4_1.gguf": 92, "tiny.gguf": 1, "tinier.gguf": 0}
    for name, size_mib in sizes.items():
        with (models / name).open("wb") as file:
            file.truncate(size_mib * MIB)
    _, _, listed = modeld(installed, "--help").partition("Commands of plugins:\n")
    assert "\n  largest " in f"\n{listed}"
    (line,) = [line for line in listed.splitlines() if line.split()[:1] == ["largest"]]
    assert " ".join(line.split()) in " ".join(shown.split())
    said = modeld(installed, "largest", "models", "--count", "2")
    assert shown.endswith(f"$ modeld largest models --count 2\n{said}")
