# SPDX-License-Identifier: GPL-3.0-only
"""Tests of the wheels: they run what is installed, and notice if they do not."""

from __future__ import annotations

import ast
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPTS = Path(__file__).parent.parent / "scripts"
PROJECT = """\
[project]
name = "modeld"
[tool.pytest.ini_options]
pythonpath = ["."]
[tool.coverage.run]
branch = true
source_pkgs = ["modeld"]
patch = ["subprocess"]
[tool.coverage.paths]
modeld = ["modeld", "*/site-packages/modeld"]
"""


@pytest.fixture
def wheel_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the script, on a checkout with one package that is installed as a wheel too."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    wheels = importlib.import_module("bootstrapping.wheels")
    found = importlib.import_module("bootstrapping.wheel_tests")
    checkout = tmp_path / "checkout"
    for folder in (checkout, tmp_path / "venv" / "site-packages"):
        (folder / "modeld").mkdir(parents=True)
        (folder / "modeld" / "__init__.py").write_text("def work():\n    return 1\n")
    (checkout / "pyproject.toml").write_text(PROJECT)
    (checkout / "tests").mkdir()
    for script in (found, importlib.import_module("checkout"), wheels):
        monkeypatch.setattr(script, "ROOT", checkout)
    monkeypatch.setattr(found, "_SETTINGS", checkout / "pyproject.toml")
    # The measurement of this test itself must not reach its processes.
    for name in [name for name in os.environ if name.startswith("COV")]:
        monkeypatch.delenv(name)
    return found


def run(wheel_tests: ModuleType, folder: Path, code: str) -> None:
    """Run one test on the wheel, whose files are reached by nine tenths at least."""
    (folder / "checkout" / "tests" / "test_it.py").write_text(code)
    python = folder / "venv" / "bin" / "python"
    python.parent.mkdir()
    python.write_text(
        f'#!/bin/sh\nPYTHONPATH={folder}/venv/site-packages exec {sys.executable} "$@"\n'
    )
    python.chmod(0o755)
    arguments = ["tests/test_it.py", "-q", "-p", "no:cacheprovider", "-p", "no:modeld"]
    wheel_tests.run(python, arguments, minimum=90)


def test_tests_run_on_the_wheels_and_the_report_names_the_checkouts_files(
    wheel_tests, tmp_path, capfd
):
    code = "import modeld\ndef test_it():\n    assert 'site-packages' in modeld.__file__\n"
    run(wheel_tests, tmp_path, code + "    assert modeld.work()\n")
    told = capfd.readouterr().out
    assert "1 files of the installed wheels were measured, none of the checkout's" in told
    assert re.search(r"^TOTAL .* 100%$", told, re.MULTILINE)


def test_a_test_that_runs_the_checkouts_package_is_an_error_also_in_another_process(
    wheel_tests, tmp_path
):
    code = (
        "import os, pathlib, subprocess, sys\n"
        "def test_it():\n"
        "    environ = os.environ | {'PYTHONPATH': str(pathlib.Path(__file__).parents[1])}\n"
        "    command = [sys.executable, '-c', 'import modeld; modeld.work()']\n"
        "    subprocess.run(command, env=environ, check=True)\n"
    )
    with pytest.raises(SystemExit, match="1 files of the checkout ran where those of the wheels"):
        run(wheel_tests, tmp_path, code)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("import modeld\ndef test_it(): pass\n", "`coverage report` failed"),
        ("import modeld\ndef test_it(): assert not modeld.work()\n", "the tests failed"),
    ],
)
def test_too_little_reached_and_tests_that_fail_are_errors(wheel_tests, tmp_path, code, why):
    with pytest.raises(SystemExit, match=why):
        run(wheel_tests, tmp_path, code)


UNMEASURED = """\
import coverage
from tests.support.measurement import unmeasured
with unmeasured():
    pass  # where nothing is measured it does nothing
def before(): return 1
def meanwhile(): return 2
def after(): return 3
measured = coverage.Coverage(data_file=None, config_file=False, include=[__file__])
measured.start()
before()
with unmeasured():
    meanwhile()
after()
measured.stop()
print(measured.get_data().lines(__file__))
"""


def test_what_is_unmeasured_counts_no_lines_and_what_comes_after_it_does(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(UNMEASURED)
    environ = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    told = subprocess.run(
        [sys.executable, script],
        env=environ | {"PYTHONPATH": str(SCRIPTS.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = ast.literal_eval(told.stdout)
    assert {5, 7} <= set(lines)
    assert 6 not in lines


def test_what_a_killed_process_has_half_written_does_not_count_and_hinders_nothing(
    wheel_tests, tmp_path, capfd
):
    code = (
        "import modeld, os, sqlite3\n"
        "def test_it():\n"
        "    assert modeld.work()\n"
        "    data = sqlite3.connect(os.environ['COVERAGE_FILE'] + '.killed')\n"
        "    data.execute('create table coverage_schema (version integer)')\n"
        "    data.close()\n"
    )
    run(wheel_tests, tmp_path, code)
    told = capfd.readouterr().out
    assert "coverage.killed was cut short and does not count" in told
    assert re.search(r"^TOTAL .* 100%$", told, re.MULTILINE)


@pytest.mark.parametrize(
    ("path", "imported"),
    [("venv/site-packages:checkout", "venv/site-packages"), ("checkout:venv/site-packages", None)],
)
def test_no_python_of_the_wheels_environment_imports_the_checkouts_package(
    wheel_tests, tmp_path, path, imported
):
    installed = tmp_path / "guard"
    installed.mkdir()
    importlib.import_module("bootstrapping.wheels").guard(installed)
    code = (
        f"import site, sys; site.addsitedir({str(installed)!r})\n"
        f"sys.path[:0] = [{str(tmp_path)!r} + '/' + each for each in {path!r}.split(':')]\n"
        "import modeld; print(modeld.__file__)"
    )
    # Without the environment's own packages: where the wheels are tested it has a guard already.
    command = [sys.executable, "-I", "-S", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if imported is None:
        assert "modeld is the checkout's" in done.stderr
        assert "this environment tests the wheels" in done.stderr
    else:
        assert done.stdout.strip() == str(tmp_path / imported / "modeld" / "__init__.py")
