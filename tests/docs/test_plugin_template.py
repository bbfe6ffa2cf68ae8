# SPDX-License-Identifier: GPL-3.0-only
"""examples/plugin-template works as its README says: copied, renamed, installed and checked."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.docs.pages import ROOT
from tests.support.docs.tutorial import with_pip

TEMPLATE = ROOT / "examples" / "plugin-template"


class Renamed:
    """A copy of the template under another name, made by the commands of its README."""

    def __init__(self, folder: Path) -> None:
        unwanted = shutil.ignore_patterns("__pycache__", ".*")
        shutil.copytree(TEMPLATE, folder / "examples" / TEMPLATE.name, ignore=unwanted)
        kept = {key: value for key, value in os.environ.items() if not key.startswith("MODELD_")}
        binaries = os.fspath(Path(sys.executable).parent)
        leaves_nothing = {"PYTHONDONTWRITEBYTECODE": "1", "PYTEST_ADDOPTS": "-p no:cacheprovider"}
        path = {"PATH": os.pathsep.join((binaries, os.environ["PATH"]))}
        self._environ = kept | with_pip(folder) | leaves_nothing | path
        readme = (TEMPLATE / "README.md").read_text()
        commands = re.findall(r"^    (.+)$", readme, re.MULTILINE)
        assert commands[0].startswith("cp -r ")
        self.said = self._done(["bash", "-euo", "pipefail", "-c", "\n".join(commands)], folder)
        self.project = folder / "modeld-mine"
        shutil.move(self.project / "modeld_mine", folder / "source")  # only what is installed

    def run(self, *words: str) -> str:
        """Run a module of Python where it is installed; return what it prints."""
        return self._done([sys.executable, "-m", *words], self.project)

    def _done(self, words: list[str], folder: Path) -> str:
        done = subprocess.run(
            words,
            cwd=folder,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def renamed(tmp_path_factory: pytest.TempPathFactory) -> Renamed:
    return Renamed(tmp_path_factory.mktemp("template"))


def test_nothing_has_its_old_name(renamed: Renamed) -> None:
    files = [path for path in renamed.project.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if "template" in path.read_text().lower()]


def test_it_is_found_with_all_that_it_brings(renamed: Renamed) -> None:
    brings = r"^mine +modeld-mine +0\.1\.0 +active +settings mine, backend mine, source mine$"
    assert re.search(brings, renamed.said, re.MULTILINE), renamed.said


def test_its_own_tests_pass(renamed: Renamed) -> None:
    assert re.search(r"\b\d{2,} passed", renamed.said), renamed.said


def test_it_keeps_to_the_contracts_once_it_is_installed(renamed: Renamed, tmp_path: Path) -> None:
    model = tmp_path / "a.mine"
    model.write_text("Once upon a time there was a little boat, and it had never been to sea.")
    config = tmp_path / "settings.toml"
    config.write_text(f'models_dir = "{tmp_path}"\n')
    words = ("check", "mine", "--model", str(model), "--config", str(config))
    said = renamed.run("modeld.cli.main", *words)
    assert re.search(r"\bpassed\b", said), said
    assert not re.search(r"\bfailed\b", said.rpartition("\n\n")[0]), said


def test_a_model_of_it_is_served_with_its_options(renamed: Renamed, tmp_path: Path) -> None:
    (tmp_path / "a.mine").write_text("the sea")
    words = ("run", "a.mine", "is blue", "--models-dir", str(tmp_path))
    said = renamed.run("modeld.cli.main", *words, "--models", '{"*": {"loud": true}}')
    assert said.strip() == "THE SEA IS BLUE"
