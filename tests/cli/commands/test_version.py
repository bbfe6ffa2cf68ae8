# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

from modeld.cli.main import ExitCode, main


def test_versions_of_modeld_python_and_the_system_are_printed(capsys):
    assert main(["version"]) == ExitCode.OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"modeld {version('modeld')}"
    assert lines[-2].startswith(f"Python {platform.python_version()}")
    assert platform.machine() in lines[-1]


def test_a_plugin_is_printed_with_what_it_is_built_on(tmp_path: Path, monkeypatch, capsys):
    info = tmp_path / "modeld_other-2.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: modeld-other\nVersion: 2.5\n"
        "Requires-Dist: modeld\nRequires-Dist: click>=8\nRequires-Dist: no-such-runtime (>=1)\n"
        'Requires-Dist: pytest; extra == "test"\n'
    )
    (info / "entry_points.txt").write_text("[modeld]\nother = modeld_other\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert main(["version"]) == ExitCode.OK
    lines = capsys.readouterr().out.splitlines()
    at = lines.index("modeld-other 2.5")
    assert lines[at + 1].startswith("  click 8.")
    assert lines[at + 2] == "  no-such-runtime is missing"
    assert not any("pytest" in line for line in lines)
