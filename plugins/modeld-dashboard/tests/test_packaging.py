# SPDX-License-Identifier: GPL-3.0-only
"""What is built, and what was taken from elsewhere."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import modeld_dashboard
import pytest

PROJECT = Path(__file__).parents[1]
STATIC = Path(modeld_dashboard.__file__).parent / "static"
VENDOR = STATIC / "vendor"
OURS = sorted(
    path for path in STATIC.rglob("*") if path.is_file() and not path.is_relative_to(VENDOR)
)


def test_the_wheel_has_all_pages_and_no_source_maps(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=PROJECT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    static = {f"modeld_dashboard/static/{path.relative_to(STATIC)}" for path in STATIC.rglob("*.*")}
    assert static <= names
    assert not [name for name in names if name.endswith(".map") or "node_modules" in name]
    for licence in ("preact", "htm", "uplot"):
        assert any(name.endswith(f"licenses/{_licence(licence)}") for name in names), licence


def _licence(package: str) -> str:
    return f"modeld_dashboard/static/vendor/{package}.LICENSE"


def test_every_library_is_recorded_with_version_and_licence() -> None:
    declared = json.loads((PROJECT / "package.json").read_text())["devDependencies"]
    recorded = [line.split() for line in (VENDOR / "VERSIONS").read_text().splitlines()]
    assert [(name, declared[name]) for name, _, _ in recorded] == [
        (name, version) for name, version, _ in recorded
    ]
    for name, _, licence in recorded:
        text = (VENDOR / f"{name}.LICENSE").read_text()
        assert {"MIT": "Permission is hereby granted", "Apache-2.0": "Apache License"}[
            licence
        ] in text


@pytest.mark.parametrize("path", sorted(VENDOR.glob("*.js")), ids=lambda path: path.name)
def test_a_library_imports_nothing_from_elsewhere(path: Path) -> None:
    text = path.read_text()
    imported = re.findall(r'\b(?:import|export)\b[\w\s{}*,$]*from\s*"([^"]+)"', text)
    assert all(name.startswith("./") for name in imported)
    assert "sourceMappingURL" not in text
    assert not re.search(r"\beval\(|new Function\(", text)


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_no_page_reaches_out_or_makes_markup_of_text(path: Path) -> None:
    text = path.read_text()
    foreign = set(re.findall(r"https?://[\w.]+", text)) - {"http://www.w3", "http://www.w3.org"}
    assert foreign <= {"http://mock"}
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", text)
    assert "SPDX-License-Identifier: GPL-3.0-only" in text or path.suffix == ".svg"


def test_every_module_that_is_imported_is_there() -> None:
    for path in OURS:
        if path.suffix == ".js":
            for name in re.findall(r'^(?:import|\} from)[^"]*"([^"]+)";', path.read_text(), re.M):
                assert (path.parent / name).is_file(), f"{path.name} imports {name}"


def test_the_lock_file_names_no_registry() -> None:
    text = (PROJECT / "package-lock.json").read_text()
    assert '"resolved"' not in text
    assert "registry" not in text
