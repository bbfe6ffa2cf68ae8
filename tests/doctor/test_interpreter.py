# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from modeld.doctor.interpreter import (
    Python,
    check_command,
    check_imports,
    check_libraries,
    check_python,
)
from modeld.values import Finding
from tests.support.doctor.another_machine import bad, only

GOOD = {"version": (3, 12, 1), "bits": 64, "is_free_threaded": False}


def test_a_tested_python_is_fine():
    finding = only(check_python(Python(**GOOD)))
    assert finding.level == "ok"
    assert "3.12.1, 64 bits" in finding.message


@pytest.mark.parametrize(
    ("change", "level", "says"),
    [
        ({"version": (3, 10, 9)}, "error", "needs 3.11 to 3.14"),
        ({"version": (3, 15, 0)}, "warning", "tested is 3.11 to 3.14"),
        ({"bits": 32}, "warning", "over 2 GiB"),
        ({"is_free_threaded": True}, "warning", "free-threaded"),
    ],
)
def test_another_python_is_named_with_what_to_use(change, level, says):
    finding = only(bad(check_python(Python(**GOOD | change))))
    assert finding.level == level
    assert says in finding.message


@pytest.mark.parametrize("is_in_environment", [True, False])
def test_it_says_whether_there_is_an_environment(is_in_environment):
    finding = only(check_python(Python(**GOOD, is_in_environment=is_in_environment)))
    assert finding.level == "ok"
    assert ("in a virtual" in finding.message) is is_in_environment


def libraries(requirements: list[str], **installed: str) -> list[Finding]:
    def version(name: str) -> str:
        try:
            return installed[name]
        except KeyError:
            raise PackageNotFoundError(name) from None

    return list(check_libraries(["modeld"], lambda _: requirements, version))


def test_libraries_at_their_floors_are_fine():
    requirements = ["a>=1.2", "b>=2.0.0", "c", "d>=1.10", 'e>=9; extra == "x"', "f[y]>=1,<2"]
    found = libraries(requirements, a="1.2.0", b="2", c="0.1", d="1.10rc1", f="1.0.post1")
    assert bad(found) == []
    assert "5 requirements" in only(found).message


@pytest.mark.parametrize(("floor", "installed"), [("1.2", "1.1.9"), ("1.10", "1.9"), ("2", "1")])
def test_a_library_below_its_floor_is_an_error(floor, installed):
    finding = only(bad(libraries([f"a>={floor}"], a=installed)))
    assert finding.level == "error"
    assert f"version {installed} is installed, modeld needs {floor}" in finding.message
    assert finding.fix == f'pip install "a>={floor}"'


def test_a_missing_library_is_an_error():
    finding = only(libraries(["a>=1.2", "b"], b="1"))
    assert (finding.subject, finding.level) == ("a", "error")
    assert "missing" in finding.message


def test_what_is_really_installed_is_fine():
    assert bad(check_libraries(["modeld"])) == []
    assert bad(check_imports()) == []


def test_a_library_that_cannot_be_imported_is_an_error_and_the_rest_goes_on():
    def load(name: str) -> object:
        if name == "b":
            raise OSError("invalid ELF header")
        return name

    error, rest = check_imports(["a", "b", "c"], load)
    assert (error.subject, error.level) == ("b", "error")
    assert "OSError: invalid ELF header" in error.message
    assert (rest.level, rest.message) == ("ok", "a, c")


def script(folder: Path) -> Path:
    folder.mkdir()
    path = folder / "modeld"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return folder


def test_another_modeld_first_on_the_path_is_a_warning(tmp_path):
    ours, other = script(tmp_path / "ours"), script(tmp_path / "other")
    found = check_command({"PATH": f"{other}{os.pathsep}{ours}"}, ours)
    finding = only(bad(found))
    assert str(other / "modeld") in finding.message
    assert str(ours) in str(finding.fix)


def test_this_modeld_on_the_path_is_fine_through_a_link_too(tmp_path):
    ours = script(tmp_path / "ours")
    link = tmp_path / "bin"
    link.mkdir()
    (link / "modeld").symlink_to(ours / "modeld")
    for path in (ours, link):
        finding = only(check_command({"PATH": str(path)}, ours))
        assert (finding.level, "is this one" in finding.message) == ("ok", True)


def test_no_modeld_on_the_path_is_no_fault(tmp_path):
    assert only(check_command({"PATH": str(tmp_path)}, tmp_path)).level == "ok"
