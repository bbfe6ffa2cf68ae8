# SPDX-License-Identifier: GPL-3.0-only
"""Commands are real processes here: they end in order when testctl is interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
from testctl.commands import ROOT, end, run

CHILD = """\
import pathlib, signal, sys
said = []
signal.signal(signal.SIGINT, lambda *_: said.append(1))
print("ready", flush=True)
while not said:
    signal.pause()
print("ending", flush=True)
sys.stdin.readline()
pathlib.Path(sys.argv[1]).write_text(f"ended in order after {len(said)} signal")
"""

TESTCTL = """\
import sys
sys.path.insert(0, "scripts")
from testctl import suites
from testctl.cli import main
suites.js = lambda: [sys.executable, "-c", *sys.argv[1:]]
sys.exit(main(["test", "js"]))
"""


def test_the_exit_code_and_the_environment_of_a_command_are_passed_on():
    code = "import os, sys; sys.exit(int(os.environ['ASKED']))"
    assert run([sys.executable, "-c", code], {"ASKED": "7"}) == 7


@pytest.mark.parametrize(
    ("number", "send"),
    [(signal.SIGINT, os.killpg), (signal.SIGTERM, os.kill)],
    ids=["control-c-reaches-all", "sigterm-reaches-testctl-only"],
)
def test_an_interrupted_command_may_end_in_order(tmp_path, number, send):
    note = tmp_path / "note"
    with subprocess.Popen(
        [sys.executable, "-c", TESTCTL, CHILD, note],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        assert "ready\n" in iter(process.stdout.readline, "")
        send(process.pid, number)
        assert "ending\n" in iter(process.stdout.readline, "")
        # Python's own patience after Ctrl-C is a quarter of a second.
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.6)
        _, told = process.communicate("now\n", timeout=60)
    assert (process.returncode, note.read_text()) == (130, "ended in order after 1 signal")
    assert told.endswith("testctl: interrupted\n")


def test_a_process_that_does_not_end_is_killed():
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]) as process:
        assert not end(process, 0.05)
    assert process.returncode == -signal.SIGKILL
