# SPDX-License-Identifier: GPL-3.0-only
"""Where session files are: in memory, or in a folder that outlives the server."""

from __future__ import annotations

import fcntl
import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from modeld.errors import StartError
from modeld.values import ModelSpec

MARK_BYTES: Final = 8
"""So many bytes at the beginning of a file are zero until an engine has saved it."""

BLOCK_BYTES: Final = 512
"""What ``st_blocks`` counts in, whatever the filesystem."""

SUFFIX: Final = ".sessions"
_LOCK: Final = "lock"
_FLAGS: Final = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


class SessionFile:
    """One open file. ``key`` says which model's it is, ``model`` is that one's id where known.

    ``size_bytes`` is what it takes, holes not counted, and ``used_ns`` when something in it was of
    use last, as :meth:`look` has found.
    """

    def __init__(self, fd: int, path: str, key: str, model: str, *, is_linked: bool) -> None:
        self.path = path
        self.key = key
        self.model = model
        self.size_bytes = 0
        self.used_ns = 0
        self._fd = fd
        self._is_linked = is_linked

    def look(self) -> bool:
        """Read how large it is and when it was used; return whether it has anything to be kept.

        One that was not saved has not, nor has one whose place in its folder another has taken.

        Raises:
            OSError: it cannot be read.
        """
        stat = os.fstat(self._fd)
        self.size_bytes = stat.st_blocks * BLOCK_BYTES
        self.used_ns = stat.st_mtime_ns
        is_there = stat.st_nlink > 0 or not self._is_linked
        return is_there and any(os.pread(self._fd, MARK_BYTES, 0))

    def unlink(self) -> None:
        """Take it out of its folder, if it is still there; :meth:`close` gives its bytes back."""
        if self._is_linked and os.fstat(self._fd).st_nlink:  # else another has its name by now
            Path(self.path).unlink(missing_ok=True)

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

    def close(self) -> None:  # noqa: B027  (most have nothing to close)
        """Let others have the place."""


class MemoryFiles(SessionFiles):
    """Files without a name, which are gone with this process, however that ends.

    A worker opens one by the descriptor that this process has of it.
    """

    take_memory = True

    def open(self) -> Sequence[SessionFile]:
        """Return nothing: nobody leaves any."""
        return ()

    def new(self, spec: ModelSpec) -> SessionFile:
        """Make a file in main memory, whatever the size of the filesystems there."""
        fd = os.memfd_create("modeld-sessions", os.MFD_CLOEXEC)
        path = f"/proc/{os.getpid()}/fd/{fd}"
        return SessionFile(fd, path, key_of(spec), spec.id, is_linked=False)


class FolderFiles(SessionFiles):
    """Files in a folder of this user's, which nobody else may read."""

    take_memory = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock: int | None = None

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
            raise _refusal(f"{self._folder} cannot be used: {exc.strerror}") from exc

    def new(self, spec: ModelSpec) -> SessionFile:
        """Make a file, which only this user may read."""
        key = key_of(spec)
        path = self._folder / f"{key}{SUFFIX}"
        path.unlink(missing_ok=True)  # another instance may still write to the one before
        fd = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
        return SessionFile(fd, str(path), key, spec.id, is_linked=True)

    def close(self) -> None:
        """Let another server have the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _check(self) -> None:
        stat = self._folder.stat()
        if stat.st_uid != os.geteuid() or stat.st_mode & 0o077:
            raise _refusal(
                f"others may read {self._folder}, and prompts will be in it; make it this user's,"
                " with mode 700"
            )

    def _left(self) -> Iterator[SessionFile]:
        for path in self._folder.glob(f"*{SUFFIX}"):
            file = SessionFile(
                os.open(path, _FLAGS), str(path), path.stem, path.stem, is_linked=True
            )
            if file.look():
                yield file
            else:  # the server was killed while an engine used it
                file.unlink()
                file.close()


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
