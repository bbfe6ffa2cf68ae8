# SPDX-License-Identifier: GPL-3.0-only
"""Where session files are: in memory, or in a folder that outlives the server."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import hashlib
import logging
import os
import stat
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import Final, TypeVar

from modeld.errors import StartError
from modeld.hosting.daemon_threads import submit
from modeld.values import ModelSpec

MARK_BYTES: Final = 8
"""So many bytes at the beginning of a file are zero until an engine has saved it."""

BLOCK_BYTES: Final = 512
"""What ``st_blocks`` counts in, whatever the filesystem."""

DISK_S: Final = 10.0
"""How long a load, or the end of an engine, waits for a disk: one that stood still starts in it."""

SUFFIX: Final = ".sessions"
_LOCK: Final = "lock"
_FLAGS: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK

T = TypeVar("T")

log = logging.getLogger("modeld.sessions")


class SessionFile:
    """One open file. ``key`` says which model's it is, ``model`` is that one's id where known.

    ``name`` is where it is in a folder, if in any. ``size_bytes`` is what it takes, holes not
    counted, and ``used_ns`` when something in it was of use last, as :meth:`look` has found.
    """

    def __init__(self, fd: int, key: str, model: str, name: Path | None = None) -> None:
        self.key = key
        self.model = model
        self.name = name
        self.size_bytes = 0
        self.used_ns = 0
        self._fd = fd

    @property
    def path(self) -> str:
        """Return what a worker opens: this very file, whoever has its name by then."""
        return f"/proc/{os.getpid()}/fd/{self._fd}"

    @property
    def has_name(self) -> bool:
        """Return whether it is still in its folder.

        Raises:
            OSError: it cannot be read.
        """
        return self.name is not None and os.fstat(self._fd).st_nlink > 0

    def check(self) -> None:
        """Make sure that it is a file, and this user's.

        Raises:
            OSError: it is not, or cannot be read.
        """
        found = os.fstat(self._fd)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, "it is no file of this user's")

    def look(self) -> bool:
        """Read how large it is and when it was used; return whether it has anything to be kept.

        One that was not saved has not, nor has one whose place in its folder another has taken.

        Raises:
            OSError: it cannot be read.
        """
        found = os.fstat(self._fd)
        self.size_bytes = found.st_blocks * BLOCK_BYTES
        self.used_ns = found.st_mtime_ns
        is_there = found.st_nlink > 0 or self.name is None
        return is_there and any(os.pread(self._fd, MARK_BYTES, 0))

    def close(self) -> None:
        """Let go of it. What is in no folder is gone then."""
        os.close(self._fd)


class SessionFiles(ABC):
    """Makes the files of models."""

    take_memory: bool
    """Whether what is in them takes main memory that nobody else can have."""

    @abstractmethod
    def open(self) -> Sequence[SessionFile]:
        """Return what an earlier server has left; nothing when called again.

        Raises:
            StartError: they cannot be kept there.
        """

    @abstractmethod
    def new(self, spec: ModelSpec) -> SessionFile:
        """Make an empty file for a model.

        Raises:
            OSError: there is none to be had.
        """

    def unlink(self, file: SessionFile) -> None:  # noqa: B027  (most are in no folder)
        """Take a file out of its folder, if it is there; closed, it gives its bytes back.

        Raises:
            OSError: it stays there.
        """

    @abstractmethod
    async def done(self, work: Callable[[], T], unwanted: Callable[[T], object] | None = None) -> T:
        """Return what ``work`` returns, which reads or changes files.

        ``unwanted`` gets that instead when nobody waits for it any more.

        Raises:
            OSError: it has failed, or takes too long.
        """

    def close(self) -> None:  # noqa: B027  (most have nothing to close)
        """Let others have the place."""


class MemoryFiles(SessionFiles):
    """Files without a name, which are gone with this process, however that ends."""

    take_memory = True

    def open(self) -> Sequence[SessionFile]:
        """Return nothing: nobody leaves any."""
        return ()

    def new(self, spec: ModelSpec) -> SessionFile:
        """Make a file in main memory, whatever the size of the filesystems there."""
        fd = os.memfd_create("modeld-sessions", os.MFD_CLOEXEC)
        return SessionFile(fd, key_of(spec), spec.id)

    async def done(self, work: Callable[[], T], unwanted: Callable[[T], object] | None = None) -> T:  # noqa: ARG002  (it is always waited for)
        """Do it here and now: it waits for no disk."""
        return work()


class FolderFiles(SessionFiles):
    """Files in a folder of this user's, which nobody else may read."""

    take_memory = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock: int | None = None
        self._names = threading.Lock()

    def open(self) -> Sequence[SessionFile]:
        """Take the folder, return the files that were saved, and remove all others."""
        if self._lock is not None:
            return ()
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._check()
            self._lock = _locked(self._folder / _LOCK)
            return list(self._left())
        except BlockingIOError as exc:
            raise _refusal(f"another server uses {self._folder}; give each its own") from exc
        except OSError as exc:
            self.close()  # the next start must find out the same
            raise _refusal(f"{self._folder} cannot be used: {exc.strerror}") from exc

    def new(self, spec: ModelSpec) -> SessionFile:
        """Make a file, which only this user may read."""
        key = key_of(spec)
        path = self._folder / f"{key}{SUFFIX}"
        with self._names:
            path.unlink(missing_ok=True)  # another instance may still write to the one before
            fd = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
        return SessionFile(fd, key, spec.id, path)

    def unlink(self, file: SessionFile) -> None:
        """Remove its name, unless another file has that by now."""
        with self._names:  # held, so that none gets it between the two
            if file.name is not None and file.has_name:
                file.name.unlink(missing_ok=True)

    async def done(self, work: Callable[[], T], unwanted: Callable[[T], object] | None = None) -> T:
        """Do it beside the event loop, and wait for a while: a disk may take its time, or hang."""
        outcome = submit(work)
        try:
            async with asyncio.timeout(DISK_S):
                return await asyncio.wrap_future(outcome)
        except BaseException as exc:
            if unwanted is not None:
                outcome.add_done_callback(lambda ended: _pass_on(ended, unwanted))
            if isinstance(exc, TimeoutError):
                raise TimeoutError(f"the disk did not respond within {DISK_S:g} s") from exc
            raise

    def close(self) -> None:
        """Let another server have the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _check(self) -> None:
        found = self._folder.stat()
        if found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise _refusal(
                f"others may read {self._folder}, and prompts will be in it; make it this user's,"
                " with mode 700"
            )

    def _left(self) -> Iterator[SessionFile]:
        for path in list(self._folder.glob(f"*{SUFFIX}")):
            try:
                file = self._found(path)
            except OSError as exc:
                log.warning("%s is left alone: %s", path, exc.strerror)
            else:
                if file is not None:
                    yield file

    def _found(self, path: Path) -> SessionFile | None:
        """Open a file that was saved; remove it if it was not.

        Raises:
            OSError: it cannot be used, or is not this user's.
        """
        with ExitStack() as unless_kept:
            file = SessionFile(os.open(path, _FLAGS), path.stem, path.stem, path)
            unless_kept.callback(file.close)
            file.check()
            if file.look():
                unless_kept.pop_all()
                return file
            self.unlink(file)  # the server was killed while an engine used it
            return None


def _pass_on(ended: Future[T], unwanted: Callable[[T], object]) -> None:
    if not ended.cancelled() and ended.exception() is None:
        unwanted(ended.result())


def _locked(path: Path) -> int:
    """Return the descriptor of a file that no other process has locked.

    Raises:
        BlockingIOError: another has.
        OSError: it cannot be opened.
    """
    file = os.open(path, _FLAGS | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        os.close(file)
        raise
    return file


def key_of(spec: ModelSpec) -> str:
    """Return what a model's file is found by: its id and its path, and nothing that tells them."""
    return hashlib.sha256(f"{spec.id}\0{spec.path}".encode()).hexdigest()[:32]


def _refusal(why: str) -> StartError:
    return StartError(f"session_folder: {why}", field="session_folder")
