# SPDX-License-Identifier: GPL-3.0-only
"""Fetch Swagger UI from npm and put the few files that modeld ships into its package.

Run it with a version (``python scripts/vendor_swagger.py 5.35.0``), or without one to fetch the
version that is there already and compare: it ends with 1 if the files differ.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "swagger-ui-dist"
TARGET = Path(__file__).resolve().parents[1] / "modeld" / "httpapi" / "static" / "swagger"
VERSION = TARGET / "VERSION"
FILES = (
    "LICENSE",
    "NOTICE",
    "swagger-ui-bundle.js",
    "swagger-ui-bundle.js.LICENSE.txt",
    "swagger-ui.css",
)


def fetch(version: str) -> dict[str, bytes]:
    """The shipped files of one version, by name, without their references to source maps."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["npm", "pack", "--silent", f"{PACKAGE}@{version}"]
        packed = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
        with tarfile.open(Path(folder) / packed.stdout.split()[-1]) as archive:
            return {name: _member(archive, f"package/{name}") for name in FILES}


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.extractfile(name)
    if member is None:
        raise SystemExit(f"{name} is not a file in the package")
    lines = member.read().splitlines(keepends=True)
    return b"".join(line for line in lines if b"# sourceMappingURL=" not in line[:64])


def main(arguments: list[str]) -> int:
    """Write the files of the version asked for, or compare those that are there."""
    if arguments:
        for name, content in fetch(arguments[0]).items():
            (TARGET / name).write_bytes(content)
        VERSION.write_text(f"{PACKAGE} {arguments[0]}\n")
        print(f"{TARGET}: {PACKAGE} {arguments[0]}")
        return 0
    version = VERSION.read_text().split()[1]
    differing = [
        name for name, content in fetch(version).items() if (TARGET / name).read_bytes() != content
    ]
    for name in differing:
        print(f"{name}: differs from {PACKAGE} {version}")
    return 1 if differing else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
