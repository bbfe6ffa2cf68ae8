# SPDX-License-Identifier: GPL-3.0-only
"""Notices that the file of a loaded model has vanished, without waiting for a request."""

from __future__ import annotations

import asyncio
import logging
import os
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Final, TypeAlias

from modeld.hosting.daemon_threads import submit

LOOK_EVERY_S: Final = 5.0
"""How often the files of the models in memory are looked at."""

OnDisk: TypeAlias = tuple[int, str]
"""A device and a path."""

log = logging.getLogger("modeld.files")


class FileWatch:
    """Has the sources asked again when a file is not there any more; they say what that means.

    ``files`` are those of the models in memory. Each disk is looked at in a thread of its own that
    nobody waits for: one that hangs holds up neither requests, nor other disks, nor the end of the
    process.
    """

    def __init__(
        self,
        files: Callable[[], Iterable[OnDisk]],
        refresh: Callable[[], Awaitable[None]],
        *,
        every_s: float | None = None,
    ) -> None:
        self._files = files
        self._refresh = refresh
        self._every_s = LOOK_EVERY_S if every_s is None else every_s
        self._looks: dict[int, asyncio.Future[bool]] = {}

    async def run(self) -> None:
        """Look for as long as the task lives."""
        try:
            while True:
                await asyncio.sleep(self._every_s)
                self._begin()
                if self._looks:
                    await asyncio.wait(self._looks.values(), timeout=self._every_s)
                if self._have_found_one_gone():
                    log.info("the file of a model in memory is gone; asking the sources again")
                    await self._refresh()
        finally:
            for look in self._looks.values():
                look.cancel()

    def _begin(self) -> None:
        """Look at every disk but those that have not answered the look before."""
        paths: defaultdict[int, list[str]] = defaultdict(list)
        for device, path in self._files():
            paths[device].append(path)
        # A thread for each disk and no second one: one that hangs would take a thread every 5 s.
        for device in paths.keys() - self._looks.keys():
            looking = submit(partial(_any_is_gone, paths[device]))
            self._looks[device] = asyncio.wrap_future(looking)

    def _have_found_one_gone(self) -> bool:
        """Take in the looks that have ended."""
        ended = [device for device, look in self._looks.items() if look.done()]
        return any([self._looks.pop(device).result() for device in ended])  # noqa: C419  (all)


def _any_is_gone(paths: Sequence[str]) -> bool:
    return any(_is_gone(path) for path in paths)


def _is_gone(path: str) -> bool:
    """Return whether there is certainly no such file; a disk in trouble proves nothing."""
    try:
        os.stat(path)  # noqa: PTH116  (as quick as it gets)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False
