# SPDX-License-Identifier: GPL-3.0-only
"""examples/first_backend works as its page says: built, installed, found, run and tested."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.docs.pages import ROOT, blocks, section

EXAMPLE = ROOT / "examples" / "first_backend"
FILES = ("pyproject.toml", "modeld_recite.py", "README.md", "tests")


class Installed:
    """A place where the example is installed, and a copy of it without its module."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._project = folder / "project"
        self._project.mkdir()
        for name in FILES:
            source = EXAMPLE / name
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, self._project / name)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
        target = ["--no-build-isolation", "--target", str(folder / "installed")]
        subprocess.run([*pip, *target, str(self._project)], check=True, capture_output=True)
        (self._project / "modeld_recite.py").unlink()

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a module of Python where the example is installed."""
        environ = {
            name: value for name, value in os.environ.items() if not name.startswith("MODELD_")
        }
        return subprocess.run(
            [sys.executable, "-m", *words],
            cwd=self._project,
            env=environ | {"PYTHONPATH": str(self.folder / "installed")},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("first_backend"))


def test_it_is_found_by_its_entry_point(installed: Installed) -> None:
    table = installed.run("modeld.cli.main", "plugins").stdout
    listed = r"^recite +modeld-recite +1\.0 +active +backend recite, source text-folder$"
    assert re.search(listed, table, re.MULTILINE), table


def test_its_own_tests_pass(installed: Installed) -> None:
    done = installed.run("pytest", "-q", "-p", "no:cacheprovider", "tests")
    assert done.returncode == 0, done.stdout
    assert re.search(r"^\d{2,} passed in", done.stdout, re.MULTILINE), done.stdout


def test_the_page_shows_what_it_prints(installed: Installed) -> None:
    (script,) = [
        block.text for block in blocks("sh", "how-to/writing-a-backend.md") if "echo" in block.text
    ]
    found = re.search(r'^echo "(.*)" > texts/facts\.txt$', script, re.MULTILINE)
    assert found is not None
    texts = installed.folder / "texts"
    texts.mkdir()
    (texts / "facts.txt").write_text(found[1] + "\n")
    prompt = "The capital of France is"
    assert f'modeld run facts.txt "{prompt}" --models-dir texts\n' in script
    where = ("--models-dir", str(texts))
    done = installed.run("modeld.cli.main", "run", "facts.txt", prompt, *where)
    assert done.returncode == 0, done.stderr
    assert f"```text\n{done.stdout}```" in section("how-to/writing-a-backend.md", "Run it")


def test_a_wrong_option_is_named_at_the_start(installed: Installed, tmp_path: Path) -> None:
    (tmp_path / "facts.txt").write_text("one two")
    options = '{"*": {"pause": 1}}'
    where = ("--models-dir", str(tmp_path), "--models", options)
    done = installed.run("modeld.cli.main", "run", "facts.txt", "one", *where)
    assert done.returncode == 2
    assert "has no such option; did you mean 'pause_s'?" in done.stderr
