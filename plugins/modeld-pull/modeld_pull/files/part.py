# SPDX-License-Identifier: GPL-3.0-only
"""A file that is not whole yet: it stands beside its path, under a name that no source lists."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from modeld.values import Value
from modeld_pull.digest import Digest, Hasher
from modeld_pull.errors import PullConflictError
from modeld_pull.files.folder import Folder

PART: Final = ".part"
STATE: Final = ".part.json"
MAGIC: Final = b"GGUF"
"""What the bytes of every model begin with."""

_BLOCK_BYTES: Final = 1 << 20
_LONGEST_STATE: Final = 4096


class _State(Value, frozen=True, kw_only=True):
    """What is known of the bytes in a part: what they should become, and their source's ETag."""

    digest: str
    etag: str = ""


class Part:
    """The part of the file ``name``; one process has it at a time. :func:`opened_part` makes one.

    The digest of what it has is always known: it is computed while bytes are written.
    """

    def __init__(self, folder: Folder, name: str, descriptor: int, digest: Digest) -> None:
        self.size_bytes = 0
        self.etag = ""
        self.head = b""
        self._folder = folder
        self._name = name
        self._descriptor = descriptor
        self._digest = digest
        self._hasher: Hasher = digest.hasher()

    async def resume(self, show: Callable[[int], None]) -> None:
        """Take over what an earlier pull has left of the same file; ``show`` is told how far it is.

        Every byte is read again: who knows what has become of them.
        """
        state = self._read_state()
        if state is None or state.digest != str(self._digest):
            self.restart()
            return
        self.etag = state.etag
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        while block := os.read(self._descriptor, _BLOCK_BYTES):
            self._take(block)
            show(self.size_bytes)
            await asyncio.sleep(0)  # a cancellation gets its chance

    def restart(self) -> None:
        """Forget all bytes."""
        with self._folder.faults(self._name + PART):
            os.ftruncate(self._descriptor, 0)
            os.lseek(self._descriptor, 0, os.SEEK_SET)
        self.size_bytes, self.etag, self.head = 0, "", b""
        self._hasher = self._digest.hasher()

    def begin(self, etag: str) -> None:
        """Note what the bytes that come now belong to, for a pull that goes on with them."""
        if self.size_bytes and etag == self.etag:
            return
        self.etag = etag
        state = msgspec.json.encode(_State(digest=str(self._digest), etag=etag))
        descriptor = self._folder.open(self._name + STATE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            with self._folder.faults(self._name + STATE):
                os.write(descriptor, state)
        finally:
            os.close(descriptor)

    def write(self, data: bytes) -> None:
        """Append some bytes.

        Raises:
            PullDiskError: the disk is full, or does not take them for another reason.
        """
        view = memoryview(data)
        with self._folder.faults(self._name + PART):
            while view:
                written = os.write(self._descriptor, view)
                self._take(bytes(view[:written]))
                view = view[written:]

    def is_right(self) -> bool:
        """Return whether it has the bytes that the file must have."""
        return self._hasher.hexdigest() == self._digest.hex

    def commit(self) -> None:
        """Put the whole file in its place: it is there with all its bytes, or it is not there.

        Raises:
            PullConflictError: another file has come there meanwhile.
        """
        if self._folder.is_there(self._name):
            raise PullConflictError(f"{self._folder.path / self._name} has come there meanwhile")
        with self._folder.faults(self._name):
            os.fsync(self._descriptor)
        self._folder.rename(self._name + PART, self._name)
        self._folder.remove(self._name + STATE)

    def discard(self) -> None:
        """Remove all that there is of it."""
        self._folder.remove(self._name + PART)
        self._folder.remove(self._name + STATE)

    def _take(self, data: bytes) -> None:
        self._hasher.update(data)
        self.size_bytes += len(data)
        if len(self.head) < len(MAGIC):
            self.head = (self.head + data)[: len(MAGIC)]

    def _read_state(self) -> _State | None:
        if not self._folder.is_there(self._name + STATE):
            return None
        descriptor = self._folder.open(self._name + STATE, os.O_RDONLY)
        try:
            return msgspec.json.decode(os.read(descriptor, _LONGEST_STATE), type=_State)
        except (msgspec.DecodeError, OSError):
            return None
        finally:
            os.close(descriptor)


@contextmanager
def opened_part(folder: Folder, name: str, digest: Digest) -> Iterator[Part]:
    """Open the part of a file, and keep it to this process until the end of the block.

    Raises:
        PullConflictError: another pull has it.
    """
    descriptor = _locked(folder, name)
    try:
        yield Part(folder, name, descriptor, digest)
    finally:
        os.close(descriptor)


def _locked(folder: Folder, name: str) -> int:
    while True:
        descriptor = folder.open(name + PART, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            os.close(descriptor)
            raise PullConflictError(
                f"{folder.path / name} is being pulled already; wait for that pull to end"
            ) from exc
        # Who held the lock a moment ago may have given this very file its name.
        if folder.inode_of(name + PART) == os.fstat(descriptor).st_ino:
            return descriptor
        os.close(descriptor)
