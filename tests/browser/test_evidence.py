# SPDX-License-Identifier: GPL-3.0-only
"""What is kept of tests that fail, and that it says what to do where a program is missing."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.browser.programs import program

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
FOR_THE_OUTER_RUN = {"MODELD_BROWSER_URL", "MODELD_BROWSER_MODE", "MODELD_BROWSER_ARTIFACTS"}
HEAD = """
import pytest

pytestmark = pytest.mark.browser

"""
FAILS = """
def test_fails(visit, rig):
    visit(rig).open()
    raise AssertionError("on purpose")
"""
PASSES = """
def test_passes(visit, rig):
    visit(rig).open()
"""
COMPLAINS = """
def test_complains(visit, rig):
    visit(rig).open().page.evaluate("() => console.error('on purpose')")
"""


def run(folder: Path, *tests: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run tests in a pytest of their own, with this package's fixtures."""
    test = folder / "test_inner.py"
    test.write_text(HEAD + "".join(tests))
    command = [sys.executable, "-m", "pytest", "-p", "tests.browser.conftest", str(test)]
    clean = {name: value for name, value in os.environ.items() if name not in FOR_THE_OUTER_RUN}
    return subprocess.run(
        [*command, "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(folder)],
        cwd=ROOT,
        env={**clean, "MODELD_BROWSER_ARTIFACTS": str(folder / "artifacts"), **environ},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def test_a_failed_test_leaves_a_picture_a_trace_and_the_log_and_others_leave_nothing(
    tmp_path: Path,
) -> None:
    outcome = run(tmp_path, FAILS, PASSES, COMPLAINS)
    assert "1 passed" in outcome.stdout, outcome.stdout + outcome.stderr
    assert "2 failed" in outcome.stdout
    assert "console error: on purpose" in outcome.stdout
    kept = sorted((tmp_path / "artifacts").iterdir())
    names = ["test_inner-test_complains", "test_inner-test_fails"]
    assert [each.name for each in kept] == names
    for folder in kept:
        assert (folder / "screenshot.png").read_bytes().startswith(b"\x89PNG")
        assert "trace.trace" in zipfile.ZipFile(folder / "trace.zip").namelist()
        assert "GET /ui/" in (folder / "server.log").read_text()


def test_a_missing_browser_is_a_failure_that_says_what_to_do(tmp_path: Path) -> None:
    outcome = run(tmp_path, PASSES, MODELD_CHROMIUM="no-such-chromium")
    assert outcome.returncode == 1
    assert "no-such-chromium is not installed; `make apt` brings it" in outcome.stdout
    assert "skipped" not in outcome.stdout


def test_a_missing_program_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(pytest.fail.Exception, match="make apt"):
        program("no-such-program")
