# SPDX-License-Identifier: GPL-3.0-only
"""What the processes of a server hold of main memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

PROC = Path("/proc")


def held_bytes(session: int, proc: Path = PROC) -> int:
    """Return the proportional set size of all processes of a session; 0 where nobody says it.

    What several processes share counts once. It reads a file for each process of this machine, so
    it belongs on a thread.
    """
    return sum(_proportional_bytes(folder) for folder in _of_session(session, proc))


def _of_session(session: int, proc: Path) -> Iterator[Path]:
    for folder in proc.glob("[0-9]*"):
        try:
            # The name in parentheses may have blanks in it; what follows it has none.
            fields = (folder / "stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        if len(fields) > 3 and int(fields[3]) == session:
            yield folder


def _proportional_bytes(folder: Path) -> int:
    try:
        lines = (folder / "smaps_rollup").read_bytes().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith(b"Pss:"))
