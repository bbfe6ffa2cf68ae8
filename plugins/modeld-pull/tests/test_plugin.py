# SPDX-License-Identifier: GPL-3.0-only
"""What modeld finds of this distribution, and what that imports."""

from __future__ import annotations

import subprocess
import sys

from modeld_pull.command import command
from modeld_pull.plugin import PullPlugin

from modeld.testing import RoutesContract
from tests.support.plugins.some_plugins import discover, status_of


class TestRoutes(RoutesContract):
    """Its routes keep to what all routes keep to."""

    plugin = PullPlugin


def test_modeld_finds_the_command_and_the_settings() -> None:
    status = status_of(discover(), "pull")
    assert (status.distribution, status.state) == ("modeld-pull", "active")
    assert status.provides == ("settings pull", "command pull")


def test_the_line_in_the_help_is_the_first_of_the_commands_own() -> None:
    (brought,) = PullPlugin().modeld_register_commands()
    said = " ".join((command.help or "").split())
    assert brought.name == command.name
    assert said.startswith(brought.summary.rstrip("."))


def test_neither_the_plugin_nor_its_routes_nor_its_command_import_the_http_client() -> None:
    code = (
        "import sys, modeld_pull.plugin; print(*sys.modules);"
        "import modeld_pull.command, modeld_pull.server.routes; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    at_first, later = map(set, map(str.split, done.stdout.splitlines()))
    assert not at_first & {"aiohttp", "click", "starlette", "modeld_pull.server.pulls"}
    assert "modeld_pull.server.pulls" in later
    assert not later & {"aiohttp", "yarl", "modeld_pull.http.client"}
