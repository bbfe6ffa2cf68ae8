# SPDX-License-Identifier: GPL-3.0-only
"""`make lint` finds code that nobody uses, and its list of exceptions is as short as it can be."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path
from types import ModuleType

import pytest

RULES = """\
[tool.vulture]
paths = ["."]
exclude = []
ignore_decorators = ["@hookimpl"]
ignore_names = ["do_GET"]
"""
MODULE = """\
from modeld import hookimpl


class Row:
    wit: int = 0
    forgotten = 1

    def do_GET(self):
        return self.left_behind()


@hookimpl
def modeld_register_formatters():
    return [Row()]


def used():
    return 1


def left_over():
    return used()
"""


@pytest.fixture
def dead_code() -> ModuleType:
    return __import__("dead_code")


def test_what_nobody_uses_is_found_and_hooks_fields_and_exceptions_are_not(
    dead_code: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "leaf.py").write_text(MODULE)
    (tmp_path / "pyproject.toml").write_text(RULES)
    monkeypatch.setattr(dead_code, "ROOT", tmp_path)
    assert dead_code.main() == 1
    told = capsys.readouterr().out
    assert [line.partition("leaf.py:")[2] for line in told.splitlines()] == [
        "6: unused variable 'forgotten' (60% confidence)",
        "21: unused function 'left_over' (60% confidence)",
    ]
    (tmp_path / "leaf.py").write_text("print(1)\n")
    dead_code.fields.cache_clear()
    assert dead_code.main() == 0


def test_every_name_in_the_list_of_exceptions_is_needed(dead_code: ModuleType) -> None:
    found = {item.name for item in dead_code.unused(ignored=[])}
    names = dead_code.pyproject(dead_code.ROOT)["tool"]["vulture"]["ignore_names"]
    unneeded = [name for name in names if not any(fnmatchcase(each, name) for each in found)]
    assert not unneeded, "take these names out of pyproject.toml"
