# SPDX-License-Identifier: GPL-3.0-only
"""What modeld finds of this distribution."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

from modeld_bench.command import command
from modeld_bench.plugin import modeld_register_commands

from modeld.settings import Settings
from tests.support.plugins.some_plugins import discover, status_of


def test_modeld_finds_the_command_by_its_entry_point():
    status = status_of(discover(), "bench")
    assert (status.distribution, status.state) == ("modeld-bench", "active")
    assert status.provides == ("command bench",)
    (entry,) = [each for each in entry_points(group="modeld") if each.name == "bench"]
    assert entry.value == "modeld_bench.plugin"


def test_the_line_in_the_help_is_the_first_of_the_commands_own():
    (brought,) = modeld_register_commands()
    said = " ".join((command.help or "").split())
    assert brought.name == command.name
    assert said.startswith(brought.summary.rstrip("."))


def test_the_variable_of_its_key_is_no_mistake_among_the_settings():
    from modeld.settings import resolve

    assert resolve({}, {"MODELD_BENCH_API_KEY": "x"}).warnings == ()
    assert resolve({}, {}).settings == Settings()


def test_finding_the_command_imports_nothing_of_it():
    code = "import sys, modeld_bench.plugin; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {name for name in loaded if name.startswith("modeld_bench")} == {
        "modeld_bench",
        "modeld_bench.plugin",
    }
    assert not loaded & {"click", "httpx", "matplotlib"}
