# SPDX-License-Identifier: GPL-3.0-only
"""Detects what a block leaves behind: threads, and on Linux descriptors, processes and memory."""

from __future__ import annotations

import asyncio
import os
import resource
import threading
from collections.abc import AsyncIterator, Callable, Set
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from modeld.testing.contract import assert_that

SETTLE_S: Final = 2.0
"""How long what ends may take until it is gone; only what stays waits that long."""

_PROC: Final = Path("/proc")
_PAGE_BYTES: Final = resource.getpagesize()


def threads() -> Set[str]:
    """Return the threads of this process by name and number, but for those of event loops."""
    return {
        f"{thread.name} ({thread.ident})"
        for thread in threading.enumerate()
        if not thread.name.startswith("asyncio_")  # they end with their loop
    }


def descriptors() -> Set[str]:
    """Return the open descriptors of this process with what they lead to; none where unknown."""
    found = set()
    for entry in (_PROC / "self/fd").glob("*"):
        try:
            found.add(f"{entry.name} ({entry.readlink()})")
        except OSError:  # the one that lists the others is gone by now
            continue
    return found


def children() -> Set[str]:
    """Return the child processes of this one, zombies too; none where that is unknown."""
    found = set()
    for stat in _PROC.glob("[0-9]*/stat"):
        try:
            name, _, fields = stat.read_text(errors="replace").rpartition(")")
        except OSError:
            continue
        if int(fields.split()[1]) == os.getpid():
            found.add(f"{name})")
    return found


def resident_bytes() -> int:
    """Return how much memory this process has; 0 where that is unknown."""
    try:
        return int((_PROC / "self/statm").read_text().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0


_LOOKS: Final[tuple[Callable[[], Set[str]], ...]] = (threads, descriptors, children)


@asynccontextmanager
async def nothing_left(after: str) -> AsyncIterator[None]:
    """Fail where something that the block has begun stays: ``after`` says after what.

    Raises:
        AssertionError: it names what has stayed.
    """
    before = [look() for look in _LOOKS]
    yield
    loop = asyncio.get_running_loop()
    give_up_s = loop.time() + SETTLE_S
    while left := _left(before):
        if loop.time() > give_up_s:
            break
        await asyncio.sleep(0.005)
    assert_that(not left, f"after {after} there is still {left}; end and close what was begun")


def _left(before: list[Set[str]]) -> str:
    found = []
    for look, old in zip(_LOOKS, before, strict=True):
        new = sorted(look() - old)
        if new:
            kind = look.__name__ if len(new) > 1 else _ONE[look.__name__]
            found.append(f"{len(new)} {kind}: {', '.join(new[:5])}")
    return "; ".join(found)


_ONE: Final = {"threads": "thread", "descriptors": "descriptor", "children": "child process"}
