# SPDX-License-Identifier: GPL-3.0-only
"""The systemd units in `deploy/systemd`, read as systemd reads them."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.support.deploy.confined import Rules

SYSTEMD = Path(__file__).parents[3] / "deploy" / "systemd"
DROP_INS = sorted(path.name for path in SYSTEMD.glob("*.conf"))


def entries(*files: str) -> list[tuple[str, str]]:
    """Return all directives of a unit and its drop-ins, in their order."""
    found = []
    for file in files:
        for line in (SYSTEMD / file).read_text().splitlines():
            if line and not line.startswith(("#", "[")):
                name, _, value = line.partition("=")
                found.append((name, value))
    return found


def values(name: str, *files: str) -> list[str]:
    """Return the values of a directive that may stand several times; an empty one clears them."""
    found: list[str] = []
    for each, value in entries(*files):
        if each == name:
            found = [*found, value] if value else []
    return found


def value(name: str, *files: str) -> str:
    """Return the value of a directive of which the last counts."""
    return values(name, *files)[-1]


def rules(*files: str) -> Rules:
    """Return what a unit and its drop-ins say about system calls; needs `systemd-analyze`."""
    return Rules(
        system_calls=sorted(_system_calls(values("SystemCallFilter", *files))),
        address_families=" ".join(values("RestrictAddressFamilies", *files)).split(),
        deny_write_execute=value("MemoryDenyWriteExecute", *files) == "yes",
    )


def _system_calls(filters: Sequence[str]) -> set[str]:
    """Return an allow-list: what stands after ``~`` is taken out, and @default is always in it."""
    allowed = members("@default")
    for line in filters:
        named = {call for word in line.removeprefix("~").split() for call in members(word)}
        allowed = allowed - named if line.startswith("~") else allowed | named
    return allowed


def members(name: str) -> set[str]:
    """Return the system calls of a set; a name that is no set's is its own only member."""
    if not name.startswith("@"):
        return {name}
    listed = subprocess.run(
        ["systemd-analyze", "syscall-filter", "--no-pager", name],
        capture_output=True,
        text=True,
        check=True,
    )
    words = [line.strip() for line in listed.stdout.splitlines()[1:]]
    return {call for word in words if word and not word.startswith("#") for call in members(word)}
