# SPDX-License-Identifier: GPL-3.0-only
"""What the lock files say."""

from __future__ import annotations

import re
from pathlib import Path

from packaging.markers import Marker

from tests.support.local_index import normalized

_PIN = re.compile(
    r"^(?P<name>[\w.-]+)==(?P<version>[^\s;]+)(?: ; (?P<marker>[^\\\n]+))?", re.MULTILINE
)

Pins = list[tuple[str, str, str | None]]


def pins(lock: Path) -> Pins:
    found = [match.groups() for match in _PIN.finditer(lock.read_text())]
    return [(name, version, marker and marker.strip()) for name, version, marker in found]


def for_this_python(locked: Pins) -> dict[str, str]:
    """Name to version of what a lock says for the Python that runs this."""
    return {
        normalized(name): version
        for name, version, marker in locked
        if marker is None or Marker(marker).evaluate()
    }
