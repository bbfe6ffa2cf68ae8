# SPDX-License-Identifier: GPL-3.0-only
# ruff: noqa: INP001, T201, S603  (a script for people, which runs npm)
"""Fetch the dashboard's libraries from npm and put the files that it ships into its package.

Run ``python vendor.py`` after a version in ``package.json`` was changed. With ``--check`` nothing
is written: it ends with 1 if a file differs from what that version's npm package has.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent
TARGET = ROOT / "modeld_dashboard" / "static" / "vendor"
FILES: Mapping[str, Mapping[str, str]] = {
    "preact": {
        "dist/preact.mjs": "preact.js",
        "hooks/dist/hooks.mjs": "preact-hooks.js",
        "LICENSE": "preact.LICENSE",
    },
    "htm": {"dist/htm.mjs": "htm.js", "LICENSE": "htm.LICENSE"},
    "uplot": {
        "dist/uPlot.esm.js": "uplot.js",
        "dist/uPlot.min.css": "uplot.css",
        "LICENSE": "uplot.LICENSE",
    },
}
"""Package to the file in it, to the name that this file has here."""

TYPES: Mapping[str, str] = {
    "preact.d.ts": 'export * from "preact";\n',
    "preact-hooks.d.ts": 'export * from "preact/hooks";\n',
    "htm.d.ts": 'export { default } from "htm";\n',
    "uplot.d.ts": 'export { default } from "uplot";\n',
}
"""Where the type checker finds what the files beside them have, from the installed packages."""

# A browser resolves no bare names without an import map, which the policy of the pages forbids.
_IMPORTS = {b'from"preact"': b'from"./preact.js"'}


def wanted() -> dict[str, bytes]:
    """Return all files as they should be, by name, ``VERSIONS`` among them."""
    versions: dict[str, str] = json.loads((ROOT / "package.json").read_text())["devDependencies"]
    files = {name: text.encode() for name, text in TYPES.items()}
    lines = []
    for package, members in FILES.items():
        packed = _fetch(package, versions[package], [*members, "package.json"])
        files |= {name: _adapted(packed[member]) for member, name in members.items()}
        licence = json.loads(packed["package.json"])["license"]
        lines.append(f"{package} {versions[package]} {licence}\n")
    files["VERSIONS"] = "".join(lines).encode()
    return files


def _fetch(package: str, version: str, members: Iterable[str]) -> dict[str, bytes]:
    """Return files of one version of an npm package, by their names in it."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", f"{package}@{version}"]
        packed = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        with tarfile.open(Path(folder) / packed.stdout.split()[-1]) as archive:
            return {member: _member(archive, f"package/{member}") for member in members}


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(name)
    if member is None:
        raise SystemExit(f"{name} is not a file in the package")
    return member.read()


def _adapted(content: bytes) -> bytes:
    """Return a file without references to source maps, and with relative imports."""
    lines = content.splitlines(keepends=True)
    content = b"".join(line for line in lines if b"# sourceMappingURL=" not in line[:64])
    for bare, relative in _IMPORTS.items():
        content = content.replace(bare, relative)
    return content


def main(arguments: list[str]) -> int:
    """Write the files, or compare those that are there."""
    files = wanted()
    if arguments == ["--check"]:
        there = {path.name: path.read_bytes() for path in TARGET.iterdir()}
        differing = sorted(
            name for name in files.keys() | there.keys() if files.get(name) != there.get(name)
        )
        for name in differing:
            print(f"{name}: differs from the npm package that package.json names")
        return 1 if differing else 0
    TARGET.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (TARGET / name).write_bytes(content)
    print(files["VERSIONS"].decode(), end="")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
