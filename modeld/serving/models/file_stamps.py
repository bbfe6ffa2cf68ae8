# SPDX-License-Identifier: GPL-3.0-only
"""Reads the stamps of files so that a disk that hangs holds up nobody else.

That takes a thread, whose wake-up costs a request 130 us of 590. So an open file of a filesystem on
this machine is looked at on the event loop: its inode is in memory, and no disk is asked.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from modeld.values import FileStamp

LOOK_LIMIT_S = 1.0
"""How long a request waits for a disk to say whether its model's file has changed."""

LOCAL_KINDS: Final = frozenset({"ext2", "ext3", "ext4", "f2fs", "tmpfs", "xfs", "zfs"})
"""Filesystems that have the inodes of open files in memory.

An overlay is not among them, for there may be a network below it.
"""


class FileStamps:
    """One daemon thread for each device that has been asked for, so that none waits for another.

    A look counts for every request that came before it began, and for no other: a file that was
    overwritten before a request came has another stamp.
    """

    def __init__(self) -> None:
        self._lanes: dict[int, _Lane] = {}

    async def look(self, path: str, device: int, *, is_open: bool = False) -> FileStamp | None:
        """Return the stamp of a file, ``None`` where there is none.

        ``device`` is where it was when it was seen last; ``is_open`` says that an engine has it
        open.

        Raises:
            TimeoutError: the device does not answer.
        """
        lane = self._lanes.get(device)
        if lane is None:
            lane = self._lanes[device] = _Lane(device)
        if is_open and lane.is_local:
            return stamp_of(path)
        if lane.is_stuck():
            # Without waiting: every request for a model on a dead disk would take a second longer.
            raise TimeoutError
        looking = lane.begin(path)
        await asyncio.wait([looking], timeout=LOOK_LIMIT_S)
        if not looking.done():
            raise TimeoutError
        return looking.result()

    def close(self) -> None:
        """End the threads, those that hang as soon as they no longer do."""
        for lane in self._lanes.values():
            lane.close()
        self._lanes.clear()


class _Lane:
    """The looks at the files of one device, in the order in which they were asked for."""

    def __init__(self, device: int) -> None:
        self.is_local = False
        self._device = device
        self._paths: SimpleQueue[str | None] = SimpleQueue()
        self._waiting: dict[str, asyncio.Future[FileStamp | None]] = {}
        self._begun_s: float | None = None
        threading.Thread(target=self._run, name=f"modeld-stat-{device}", daemon=True).start()

    def is_stuck(self) -> bool:
        begun_s = self._begun_s
        return begun_s is not None and time.monotonic() - begun_s > LOOK_LIMIT_S

    def begin(self, path: str) -> asyncio.Future[FileStamp | None]:
        """Return the result of a look that has not begun yet."""
        looking = self._waiting.get(path)
        loop = asyncio.get_running_loop()
        if looking is None or looking.get_loop() is not loop:
            looking = self._waiting[path] = loop.create_future()
            self._paths.put(path)
        return looking

    def close(self) -> None:
        self._paths.put(None)

    def _run(self) -> None:
        self.is_local = kind_of(self._device) in LOCAL_KINDS
        while (path := self._paths.get()) is not None:
            # From here on the look is under way, and who comes now begins another one.
            looking = self._waiting.pop(path, None)
            if looking is None:
                continue
            self._begun_s = time.monotonic()
            stamp = stamp_of(path)
            self._begun_s = None
            try:
                looking.get_loop().call_soon_threadsafe(_settle, looking, stamp)
            except RuntimeError:  # that loop is closed, and nobody waits any more
                continue


def stamp_of(path: str) -> FileStamp | None:
    """Return what the file is now; ``None`` where there is none. This may block."""
    try:
        stat = os.stat(path)  # noqa: PTH116  (a Path costs more than the call)
    except (OSError, ValueError):
        return None
    return FileStamp(
        device=stat.st_dev, inode=stat.st_ino, size_bytes=stat.st_size, mtime_ns=stat.st_mtime_ns
    )


def kind_of(device: int) -> str:
    """Return the kind of the filesystem on a device; nothing where the kernel does not tell."""
    try:
        wanted = f"{os.major(device)}:{os.minor(device)}"
        mounts = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    except (OSError, OverflowError):  # a plugin's source may say any number
        return ""
    for mount in mounts:
        before, _, after = mount.partition(" - ")
        if before.split(" ")[2:3] == [wanted]:
            return after.partition(" ")[0]
    return ""


def _settle(looking: asyncio.Future[FileStamp | None], stamp: FileStamp | None) -> None:
    if not looking.done():
        looking.set_result(stamp)
