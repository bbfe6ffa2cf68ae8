# SPDX-License-Identifier: GPL-3.0-only
"""What modeld finds of this distribution."""

from __future__ import annotations

import subprocess
import sys

from tests.support.plugins.some_plugins import discover, status_of


def test_modeld_finds_the_dialect_by_its_entry_point():
    plugins = discover()
    assert "ollama" in [each.name for each in plugins.dialects()]
    status = status_of(plugins, "ollama")
    assert (status.distribution, status.state) == ("modeld-ollama", "active")
    assert status.provides == ("dialect ollama",)


def test_finding_the_dialect_imports_nothing_of_it():
    code = "import sys, modeld_ollama.plugin; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {name for name in loaded if name.startswith("modeld_ollama")} == {
        "modeld_ollama",
        "modeld_ollama.plugin",
    }
    assert not loaded & {"pydantic", "starlette"}
