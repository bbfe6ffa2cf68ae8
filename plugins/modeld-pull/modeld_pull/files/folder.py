# SPDX-License-Identifier: GPL-3.0-only
"""A folder that files are written into, held open: no name and no link leads out of it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from modeld.sizes import size_text
from modeld_pull.errors import PullConflictError, PullDiskError, PullUnusableError

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class Folder:
    """A folder by its descriptor; :func:`opened_folder` makes one.

    Each name is one of this very folder. A link of that name is not followed.
    """

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self.path = path

    def open(self, name: str, flags: int) -> int:
        """Return a descriptor of a regular file.

        Raises:
            PullConflictError: something else has this name.
            PullDiskError: it cannot be opened.
            PullUnusableError: it is a path, which may lead out of this folder through a link.
        """
        if "/" in name:
            raise PullUnusableError(f"{name!a} is no name of a file in {self.path}")
        flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC  # opening a FIFO would wait
        with self.faults(name):
            descriptor = os.open(name, flags, 0o644, dir_fd=self._descriptor)
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.close(descriptor)
                raise PullConflictError(f"{self.path / name} is no regular file")
        return descriptor

    def is_there(self, name: str) -> bool:
        """Return whether anything has this name, a link too."""
        return self.inode_of(name) is not None

    def inode_of(self, name: str) -> int | None:
        """Return the number of what has this name; ``None`` if nothing has."""
        try:
            return os.stat(name, dir_fd=self._descriptor, follow_symlinks=False).st_ino
        except FileNotFoundError:
            return None

    def size_of(self, name: str) -> int:
        """Return how many bytes a file has; 0 if it is not there."""
        try:
            return os.stat(name, dir_fd=self._descriptor, follow_symlinks=False).st_size
        except FileNotFoundError:
            return 0

    def rename(self, old: str, new: str) -> None:
        """Give a file its name, for good: both are on the disk when this returns."""
        with self.faults(new):
            os.rename(old, new, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
            os.fsync(self._descriptor)

    def remove(self, name: str) -> None:
        """Remove a file if it is there."""
        with self.faults(name):
            try:
                os.unlink(name, dir_fd=self._descriptor)
            except FileNotFoundError:
                return

    def check_space(self, needed_bytes: int, keep_free_bytes: int) -> None:
        """Refuse what does not fit on the disk.

        Raises:
            PullDiskError: there would be less than ``keep_free_bytes`` left.
        """
        free_bytes = self.free_bytes()
        if needed_bytes > 0 and free_bytes - needed_bytes < keep_free_bytes:
            raise PullDiskError(
                f"{self.path} has {size_text(free_bytes)} free; the pull needs"
                f" {size_text(needed_bytes)} more, and keep_free_mb keeps"
                f" {size_text(keep_free_bytes)}"
            )

    def free_bytes(self) -> int:
        """Return how much may still be written here without root's rights."""
        status = os.fstatvfs(self._descriptor)
        return status.f_bavail * status.f_frsize

    @contextmanager
    def faults(self, name: str) -> Iterator[None]:
        """Turn what the system refuses into an error that names the file."""
        try:
            yield
        except OSError as exc:
            raise _disk_error(self.path / name, exc) from exc


@contextmanager
def opened_folder(root: Path, parts: Sequence[str]) -> Iterator[Folder]:
    """Open the folder ``parts`` below ``root``, and make what is missing of it.

    Raises:
        PullDiskError: it cannot be made, or a link stands where a folder should.
    """
    with ExitStack() as stack:
        path = root
        try:
            root.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(root, _FOLDER)
            stack.callback(os.close, descriptor)
            for part in parts:
                path = path / part
                descriptor = _below(descriptor, part)
                stack.callback(os.close, descriptor)
        except OSError as exc:
            raise _disk_error(path, exc) from exc
        yield Folder(descriptor, path)


def _below(descriptor: int, name: str) -> int:
    try:
        os.mkdir(name, dir_fd=descriptor)
    except FileExistsError:
        pass
    else:
        os.fsync(descriptor)
    return os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=descriptor)


def _disk_error(path: Path, exc: OSError) -> PullDiskError | PullConflictError:
    if exc.errno in _FULL:
        return PullDiskError(
            f"the disk of {path} is full; what was pulled is kept, and the same pull goes on once"
            " there is space"
        )
    if exc.errno in {errno.ELOOP, errno.ENOTDIR}:
        return PullConflictError(f"{path} is a link or no folder; a pull follows no links")
    return PullDiskError(f"{path} cannot be used: {str(exc.strerror).lower()}")
