# SPDX-License-Identifier: GPL-3.0-only
"""What modeld finds of this distribution."""

from __future__ import annotations

import subprocess
import sys

from tests.support.plugins.some_plugins import discover, status_of


def test_modeld_finds_the_dialects_by_its_entry_point():
    plugins = discover()
    assert {"openai", "openai-responses"} <= {each.name for each in plugins.dialects()}
    status = status_of(plugins, "openai")
    assert (status.distribution, status.state) == ("modeld-openai", "active")
    assert status.provides == ("dialect openai", "dialect openai-responses")


def test_finding_the_dialect_imports_nothing_of_it():
    code = "import sys, modeld_openai.plugin; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {name for name in loaded if name.startswith("modeld_openai")} == {
        "modeld_openai",
        "modeld_openai.plugin",
    }
    assert not loaded & {"pydantic", "starlette"}
