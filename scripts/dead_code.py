# SPDX-License-Identifier: GPL-3.0-only
"""Finds unused code: vulture, as pyproject.toml configures it, less the fields of tables.

A field that a class declares (``name: type``) is read by whoever reads the whole: a client, a file,
the command line. So it is no dead code for not being named in the code.
"""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Iterator
from pathlib import Path

from checkout import ROOT, pyproject
from vulture import Vulture  # type: ignore[import-untyped]  # it has no types
from vulture.core import Item  # type: ignore[import-untyped]

CONFIDENCE = 60
"""In per cent; what vulture gives to code that it sees no use of."""


def main() -> int:
    """Print what nobody uses; return 1 if there is something."""
    rules = pyproject(ROOT)["tool"]["vulture"]
    found = list(unused(rules["ignore_names"]))
    for item in found:
        print(item.get_report())
    return 1 if found else 0


def unused(ignored: list[str]) -> Iterator[Item]:
    """Yield what nobody uses in the paths that pyproject.toml names."""
    rules = pyproject(ROOT)["tool"]["vulture"]
    vulture = Vulture(ignore_names=ignored, ignore_decorators=rules["ignore_decorators"])
    vulture.scavenge([str(ROOT / path) for path in rules["paths"]], rules["exclude"])
    for item in vulture.get_unused_code(min_confidence=CONFIDENCE):
        if item.first_lineno not in fields(Path(item.filename)):
            yield item


@functools.cache
def fields(path: Path) -> frozenset[int]:
    """The lines on which a class of this file declares a field."""
    return frozenset(
        line.lineno
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
        for line in node.body
        if isinstance(line, ast.AnnAssign)
    )


if __name__ == "__main__":
    sys.exit(main())
