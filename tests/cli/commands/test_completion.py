# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import os
import subprocess

import pytest

from modeld.cli.main import ExitCode, main
from tests.support.cli.terminal import MODELD


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_for_each_shell_is_printed(shell, capsys):
    assert main(["completion", shell]) == ExitCode.OK
    assert f"_MODELD_COMPLETE={shell}_complete" in capsys.readouterr().out


def test_another_shell_is_wrong_usage(capsys):
    assert main(["completion", "tcsh"]) == ExitCode.USAGE


def completions(line: str) -> list[str]:
    """Return what bash would be offered for the last word of ``line``."""
    words = line.split(" ")
    done = subprocess.run(
        [MODELD],
        env={
            **os.environ,
            "_MODELD_COMPLETE": "bash_complete",
            "COMP_WORDS": line,
            "COMP_CWORD": str(len(words) - 1),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    return [found.partition(",")[2] for found in done.stdout.splitlines()]


def test_commands_options_and_choices_are_completed():
    assert completions("modeld ser") == ["serve"]
    assert completions("modeld serve --max-q") == ["--max-queue-depth"]
    assert completions("modeld serve --log-level d") == ["debug"]


def test_bash_itself_takes_the_script():
    script = subprocess.run([MODELD, "completion", "bash"], capture_output=True, check=True).stdout
    subprocess.run(["bash", "-n"], input=script, check=True)
