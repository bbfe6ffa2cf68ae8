# SPDX-License-Identifier: GPL-3.0-only
"""What may stand in the repository's files: each rule finds its case and leaves what is fine."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).parent.parent / "scripts"
LICENCE = "SPDX-License-Identifier: GPL-3.0-only"
REGISTRY = "pypi" + ".org"


@pytest.fixture
def hygiene(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return __import__("hygiene")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Return a clean repository with a change log and an ignored folder."""
    root = tmp_path / "repository"
    root.mkdir()
    subprocess.run(["git", "init", "--quiet", root], check=True)
    (root / "CHANGELOG.md").write_text("# Changes\n")
    (root / ".gitignore").write_text("/built/\n")
    (root / "built").mkdir()
    (root / "built" / "a.py").write_text("no licence, and not ours\n")
    return root


def found(hygiene: ModuleType, root: Path) -> list[str]:
    return list(hygiene.problems(root))


def test_a_clean_repository_has_no_problems_and_what_is_ignored_is_not_read(hygiene, repository):
    (repository / "a.py").write_text(f"# {LICENCE}\n")
    (repository / "b.sh").write_text(f"#!/bin/sh\n# {LICENCE}\n")
    (repository / "__init__.py").write_text("")
    (repository / "notes.md").write_text("Run it below /home/me or /app.\n")
    assert found(hygiene, repository) == []


@pytest.mark.parametrize("name", ["a.py", "a.sh", "a.js", "a.css", "a.html", "Makefile", "a.yml"])
def test_a_source_without_its_licence_line_is_found(hygiene, repository, name):
    (repository / name).write_text("x\n" * 3 + LICENCE)
    assert found(hygiene, repository) == [f"{name}: no line `{LICENCE}` at its beginning"]


def test_a_missing_change_log_is_found(hygiene, repository):
    (repository / "CHANGELOG.md").unlink()
    assert found(hygiene, repository)[0].startswith("CHANGELOG.md: missing")


@pytest.mark.parametrize(
    "line",
    [
        f"see files.{REGISTRY}/simple",
        "index-url = http" + "://10.1.2.3:80/simple",
        'registry="http' + '://mirror.example/npm"',
        "/home" + "/jane/modeld/x.py",
        "/Users" + "/jane",
    ],
)
def test_addresses_of_registries_and_home_folders_are_found_with_their_line(
    hygiene, repository, line
):
    (repository / "a.md").write_text(f"fine\n{line}\n")
    (problem,) = found(hygiene, repository)
    assert problem.startswith("a.md:2: ")


def test_the_place_of_the_checkout_is_found_wherever_it_is(hygiene, repository):
    (repository / "a.txt").write_text(f"cd {repository}/docs\ncd {repository}-2\n")
    (problem,) = found(hygiene, repository)
    assert problem.startswith("a.txt:1: ")


def test_a_large_file_is_found_unless_it_is_vendored(hygiene, repository):
    for name in ("big.js", f"{hygiene.VENDORED[0]}big.js"):
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).write_bytes(b" " * (hygiene.MAX_BYTES + 1))
    (problem,) = found(hygiene, repository)
    assert problem.startswith("big.js: 1,000,001 bytes")


def test_a_lock_that_is_bound_to_a_registry_is_found(hygiene, repository):
    packages = {"": {}, "node_modules/a": {"resolved": "x"}, "node_modules/b": {"version": "1"}}
    (repository / "package-lock.json").write_text(json.dumps({"packages": packages}))
    (problem,) = found(hygiene, repository)
    assert "1 packages are bound to a registry by `resolved`, node_modules/a for one" in problem


def test_the_exit_code_says_whether_anything_was_found(hygiene, repository, monkeypatch, capsys):
    monkeypatch.setattr(hygiene, "ROOT", repository)
    assert hygiene.main() == 0
    (repository / "a.py").write_text("x\n")
    assert hygiene.main() == 1
    assert capsys.readouterr().out.splitlines()[-1] == "hygiene: 1 problems"
