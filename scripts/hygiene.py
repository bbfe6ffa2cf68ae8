# SPDX-License-Identifier: GPL-3.0-only
"""Checks the files of this repository for what no other tool looks at.

``python scripts/hygiene.py`` looks at every file that git tracks or would track, prints what is
wrong, one line each, and ends with 1 if anything is.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LICENCE = "SPDX-License-Identifier: GPL-3.0-only"

VENDORED = (
    "modeld/httpapi/static/swagger/",
    "plugins/modeld-dashboard/modeld_dashboard/static/vendor/",
)
"""Files that others wrote: they keep their own licence lines and their size."""

MAX_BYTES = 1_000_000

_SOURCES = re.compile(
    r"\.(?:py|sh|js|mjs|ts|css|html|toml|ya?ml|service|socket|slice|conf|rules)$|(?:^|/)\.ci/|"
    r"(?:^|/)(?:Makefile|(?:Docker|Container)file)[^/]*$"
)
_NO_TEXT = re.compile(r"\.(?:png|jpg|gif|ico|woff2?|gguf|zip|gz|whl)$")

_HOST = re.compile(r"\b(?:[\w-]+\.)*(?:(?:pypi|pythonhosted|npmjs|yarnpkg)\.(?:org|com))\b")
_INDEX = re.compile(
    r"(?:index[-_]url|find-links|registry)\"?\s*[=: ]\s*\"?https?://\S+", re.IGNORECASE
)

# Examples in tests and pages have a home too; their owners are nobody.
_HOME = re.compile(
    r"(?<![\w.-])/(?:home|Users)/(?!(?:me|you|anna|somebody|secret|user|modeld)\b)\w[\w.-]*"
)
"""A home folder, of anybody but those that stand in examples."""


def tracked(root: Path) -> list[str]:
    """The files that are in git, or will be with ``git add .``, sorted."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
    names = {name for name in listed.stdout.split("\0") if name}
    return sorted(name for name in names if (root / name).is_file())


def problems(root: Path) -> Iterator[str]:
    """Everything that is wrong, as ``path: what`` or ``path:line: what``."""
    names = tracked(root)
    if "CHANGELOG.md" not in names:
        yield "CHANGELOG.md: missing; users read there what changes for them"
    for name in names:
        if not name.startswith(VENDORED):
            yield from _problems_of(root, name)


def _problems_of(root: Path, name: str) -> Iterator[str]:
    size = (root / name).stat().st_size
    if size > MAX_BYTES:
        yield f"{name}: {size:,} bytes; at most {MAX_BYTES:,} unless it is listed as vendored"
        return
    if _NO_TEXT.search(name) or not size:
        return
    text = (root / name).read_text(encoding="utf-8", errors="replace")
    if _SOURCES.search(name) and LICENCE not in "\n".join(text.splitlines()[:3]):
        yield f"{name}: no line `{LICENCE}` at its beginning"
    if Path(name).name == "package-lock.json":
        yield from _problems_of_lock(name, text)
    for number, line in enumerate(text.splitlines(), start=1):
        for what in _problems_of_line(line, root):
            yield f"{name}:{number}: {what}"


def _problems_of_line(line: str, root: Path) -> Iterator[str]:
    if found := _HOST.search(line) or _INDEX.search(line):
        yield f"{found.group()} is a registry's address; whoever installs chooses that"
    if found := _HOME.search(line):
        yield f"{found.group()} is somebody's home folder"
    if _names_checkout(line, root):
        yield f"{root} is where this checkout lies on one machine"


def _names_checkout(line: str, root: Path) -> bool:
    # A short path, such as /app in a container, may well be meant.
    return len(root.parts) > 2 and bool(re.search(rf"{re.escape(str(root))}(?![\w-])", line))


def _problems_of_lock(name: str, text: str) -> Iterator[str]:
    packages = json.loads(text).get("packages", {})
    bound = [path for path, entry in packages.items() if "resolved" in entry]
    if bound:
        yield (
            f"{name}: {len(bound)} packages are bound to a registry by `resolved`, {bound[0]} for"
            " one; remove those lines (`npm install --omit-lockfile-registry-resolved`)"
        )


def main() -> int:
    """Print what is wrong; the exit status."""
    found = list(problems(ROOT))
    for line in found:
        print(line)
    print(f"hygiene: {len(found)} problems" if found else "hygiene: nothing found")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
