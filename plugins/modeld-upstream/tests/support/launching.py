# SPDX-License-Identifier: GPL-3.0-only
"""Engines whose servers are started for them."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from attached import LIMITS, wanted
from modeld_upstream import loading
from modeld_upstream.limits import Limits
from modeld_upstream.servers import UpstreamServer
from modeld_upstream.spawning.ports import Ports

from modeld import Engine

PROGRAM = Path(__file__).parent / "program.py"


def server(folder: Path, does: str = "serves", **members: Any) -> UpstreamServer:
    """Return a server that the program is, and that does what it says."""
    command = (
        shlex.join([sys.executable, str(PROGRAM), does]) + " {port} " + shlex.quote(str(folder))
    )
    given: dict[str, Any] = {"name": "here", "command": command, "models": ("m",)}
    return UpstreamServer(**given | {"health_interval_s": 0} | members)


@asynccontextmanager
async def started(
    folder: Path,
    does: str = "serves",
    *,
    limits: Limits = LIMITS,
    ports: Ports | None = None,
    **members: Any,
) -> AsyncIterator[Engine]:
    """Yield the engine of a server that was started for it."""
    here = wanted(server(folder, does, **members), "m", limits)
    engine = await loading.started(here, ports or Ports())
    try:
        yield engine
    finally:
        await engine.aclose()


def number(folder: Path, name: str = "pid") -> int:
    """Return the number of a process that the program has left."""
    return int((folder / name).read_text())


def is_there(pid: int) -> bool:
    """Return whether a process runs, which a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def until_gone(*pids: int) -> None:
    """Wait until none of the processes runs; the deadline is the test's."""
    while any(map(is_there, pids)):  # noqa: ASYNC110  (they are nobody's children here)
        await asyncio.sleep(0.01)
