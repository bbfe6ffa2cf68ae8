# SPDX-License-Identifier: GPL-3.0-only
"""Shares between the servers of one machine how much memory each has promised to models.

Weights that are mapped from a file count as available, however much another server needs them: the
system would take them back, and each of its tokens would wait for the disk. So each server says in
a file how much it holds that does not show.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final
from weakref import WeakSet

from modeld.machine.files import Machine
from modeld.serving.memory.budget_lock import folders

_DIGITS: Final = 20
_numbers = itertools.count()


class Neighbours:
    """The file of one server, and those of this user's others. The lock on it ends with it."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._path: Path | None = None
        self._file: int | None = None
        self._is_closed = False
        self._changing = threading.Lock()

    def tell(self, hidden_bytes: int) -> None:
        """Say what this server holds that others cannot see. Where no file can be, say nothing.

        Any thread may call it, also one that was left behind by a server that has closed.
        """
        with self._changing:
            if self._file is None and hidden_bytes and not self._is_closed:
                self._open()
            if self._file is not None:
                # Always as many digits, at the same place: a shorter number would leave the end of
                # a longer one behind it.
                with suppress(OSError):
                    os.pwrite(self._file, f"{hidden_bytes:0{_DIGITS}d}".encode(), 0)

    def hidden_bytes(self) -> int:
        """Return what the other servers hold that cannot be seen otherwise."""
        return sum(
            _told(path)
            for folder in self._folders()
            for path in _files(folder)
            if path != self._path
        )

    def close(self) -> None:
        """Say nothing any more."""
        with self._changing:
            self._is_closed = True
            if self._path is not None:
                with suppress(OSError):
                    self._path.unlink()
            self.forget()

    def forget(self) -> None:
        """Close the file and leave it: it is another process's."""
        if self._file is not None:
            os.close(self._file)
        self._file = self._path = None

    def _open(self) -> None:
        for folder in self._folders():
            try:
                folder.mkdir(mode=0o700, exist_ok=True)
                self._path, self._file = _made(folder)
            except OSError:
                continue
            _telling.add(self)
            return

    def _folders(self) -> Iterator[Path]:
        for folder in folders(self._machine):
            yield folder / f"modeld-{os.geteuid()}.held"


_telling: Final[WeakSet[Neighbours]] = WeakSet()


def _forget() -> None:
    """Close the copies of a process that was forked off: they would outlive its parent's."""
    for each in list(_telling):
        each.forget()


os.register_at_fork(after_in_child=_forget)


def _made(folder: Path) -> tuple[Path, int]:
    """Return a new file that is locked before it has the name by which others look for it."""
    _check_own(folder)
    path = folder / f"{os.getpid()}-{next(_numbers)}"
    new = path.with_suffix(".new")
    file = os.open(new, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        new.rename(path)
    except BaseException:
        os.close(file)
        raise
    return path, file


def _check_own(folder: Path) -> None:
    found = folder.lstat()
    if found.st_uid != os.geteuid() or folder.is_symlink():
        raise PermissionError("it is another user's")


def _files(folder: Path) -> list[Path]:
    try:
        _check_own(folder)
        return [path for path in folder.iterdir() if path.suffix != ".new"]
    except OSError:
        return []


def _told(path: Path) -> int:
    """Return what a server says that still lives; the file of one that does not is taken away."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        # The kernel lets go of a lock however its process ends; so whoever gets it finds a dead
        # server's file. It is shared, or two readers would take each other for that server.
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        said = os.pread(file, _DIGITS, 0)
        return int(said) if said.isdigit() else 0
    except OSError:
        return 0
    finally:
        os.close(file)
    return 0
