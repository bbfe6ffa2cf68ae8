# SPDX-License-Identifier: GPL-3.0-only
"""Keeps the states of ended requests in a file that outlives the engine, for the model's next one.

A file has a header, extents with a state each, and an index of them. The index is written when the
engine is closed, and the header after it, so whatever ends the engine otherwise leaves a file that
nobody trusts. What was written in an earlier life is checked when it is read.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import zlib
from bisect import bisect, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Final, NamedTuple

import msgspec

from modeld.values import Value
from modeld_llama_cpp.engine.prefix_cache import MOST_SAVED, SavedSequence
from modeld_llama_cpp.engine.state import State

MAGIC: Final = b"modeldS\x01"
"""The first bytes of a file that was saved. While an engine uses it they are zero."""

GRAIN: Final = mmap.ALLOCATIONGRANULARITY
"""Extents begin at multiples of this, so that each can be given back alone."""

MOST_INDEX_BYTES: Final = 64 << 20

FILESYSTEM_SHARE: Final = 128
"""A filesystem's own record of where a file lies takes at most this part of it."""

_HEADER: Final = Struct("<8sQQ32s")
_TOKEN_BYTES: Final = 5
_ENTRY_BYTES: Final = 128
"""What a sequence takes in the index at most, beside its tokens and its salt."""


class Extent(NamedTuple):
    """A part of the file that is in use."""

    start: int
    stop: int


class Entry(Value, frozen=True, kw_only=True, array_like=True):
    """One sequence, as the index has it."""

    tokens: tuple[int, ...]
    salt: str
    offset: int
    size: int
    checksum: int


class Index(Value, frozen=True, kw_only=True, array_like=True):
    """All sequences of a file, the most recently used first. ``identity`` says whom they fit."""

    identity: bytes
    entries: tuple[Entry, ...]


_index: Final = msgspec.msgpack.Decoder(Index)


@dataclass(slots=True, eq=False)
class Piece:
    """A state in a file. ``is_checked`` says that it is known to be what was written."""

    file: SessionFile
    extent: Extent
    size: int
    checksum: int
    is_checked: bool

    def read(self) -> bytearray | None:
        """Return the state, or ``None`` where it is not what was written."""
        try:
            data = self.file.read(self.extent.start, self.size)
        except (OSError, MemoryError):  # without it the tokens are computed again
            return None
        if not self.is_checked and zlib.crc32(data) != self.checksum:
            return None
        self.is_checked = True
        return data

    def free(self) -> None:
        """Give its bytes back."""
        self.file.free(self.extent)


class SessionFile:
    """A file that the states of at most ``most_bytes`` are in, with all that is written of them.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: str, most_bytes: int, identity: bytes) -> None:
        self._most_bytes = most_bytes
        self._identity = identity
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._extents = [Extent(0, GRAIN)]

    def close(self) -> None:
        """Close it; what is in it stays."""
        os.close(self._fd)

    def take_over(self) -> list[SavedSequence]:
        """Return what an earlier engine has saved, if it fits this one, and empty the rest.

        From here on the file counts as not saved, until :meth:`save`.

        Raises:
            OSError: the disk does not give it, or its filesystem cannot give back a part of a file.
        """
        saved: list[SavedSequence] = []
        file_end = os.fstat(self._fd).st_size
        for each in self._entries():
            extent = Extent(each.offset, _end(each.offset + each.size))
            if self._can_be(each, extent, file_end):
                insort(self._extents, extent)
                piece = Piece(self, extent, each.size, each.checksum, is_checked=False)
                state = State(each.size, stored=piece)
                saved.append(SavedSequence(tokens=each.tokens, salt=each.salt, state=state))
        os.ftruncate(self._fd, self._extents[-1].stop)
        self._empty(self._extents[0])
        for gap in self._gaps():
            self._empty(gap)
        return saved

    def settle(self, saved: Iterable[SavedSequence]) -> None:
        """Have the most recently used states in the file, as many as it may hold, and no others.

        They come in that order. Those that the disk has no room for stay in this process.
        """
        # Less the header, the last page of the index, and what a filesystem keeps of the file.
        room = self._most_bytes - 2 * GRAIN - self._most_bytes // FILESYSTEM_SHARE
        inside: list[State] = []
        for one in saved:
            room -= _cost(one)
            if room >= 0:
                inside.append(one.state)
            else:
                one.state.bring_back()
        try:
            for state in inside:
                state.move(self._store)
        except OSError:
            return

    def save(self, saved: Iterable[SavedSequence]) -> None:
        """Write down what is in the file, so that the next engine of this model can use it."""
        entries: list[Entry] = []
        for one in saved:
            piece = one.state.stored
            if isinstance(piece, Piece):
                entries.append(
                    Entry(
                        tokens=one.tokens,
                        salt=one.salt,
                        offset=piece.extent.start,
                        size=piece.size,
                        checksum=piece.checksum,
                    )
                )
        if not entries:
            return
        used_ns = os.fstat(self._fd).st_mtime_ns  # when the last state was written
        data = msgspec.msgpack.encode(Index(identity=self._identity, entries=tuple(entries)))
        start = self._allocate(len(data)).start
        self._write(data, start)
        # Last: whoever reads the header finds all that it speaks of.
        digest = hashlib.sha256(data).digest()
        self._write(_HEADER.pack(MAGIC, start, len(data), digest), 0)
        os.utime(self._fd, ns=(used_ns, used_ns))

    def read(self, offset: int, size: int) -> bytearray:
        """Return what is at an offset; less than ``size`` bytes where the file ends before.

        Raises:
            OSError: the disk does not give it.
        """
        data = bytearray(size)
        done = 0
        with memoryview(data) as view:
            while count := os.preadv(self._fd, [view[done:]], offset + done):
                done += count
        return data if done == size else data[:done]

    def free(self, extent: Extent) -> None:
        """Give an extent back."""
        self._extents.remove(extent)
        with contextlib.suppress(OSError):  # the next one that fits there is written over it
            self._empty(extent)

    def _store(self, data: bytearray) -> Piece:
        extent = self._allocate(len(data))
        try:
            self._write(data, extent.start)
        except OSError:
            self.free(extent)
            raise
        return Piece(self, extent, len(data), zlib.crc32(data), is_checked=True)

    def _write(self, data: bytes | bytearray, offset: int) -> None:
        done = 0
        with memoryview(data) as view:
            while done < len(data):
                done += os.pwrite(self._fd, view[done:], offset + done)

    def _allocate(self, size: int) -> Extent:
        """Return the first extent that is free and large enough."""
        gaps = (gap for gap in self._gaps() if gap.stop - gap.start >= _end(size))
        start = next((gap.start for gap in gaps), self._extents[-1].stop)
        extent = Extent(start, start + _end(size))
        if os.fstat(self._fd).st_size < extent.stop:
            os.ftruncate(self._fd, extent.stop)  # what lies beyond the end could not be emptied
        insort(self._extents, extent)
        return extent

    def _gaps(self) -> Iterator[Extent]:
        """Yield what is free between extents."""
        end = 0
        for extent in self._extents:
            if extent.start > end:
                yield Extent(end, extent.start)
            end = extent.stop

    def _empty(self, extent: Extent) -> None:
        """Have the system forget what is in a part of the file, so that it takes no memory."""
        with mmap.mmap(self._fd, extent.stop - extent.start, offset=extent.start) as mapped:
            mapped.madvise(mmap.MADV_REMOVE)

    def _entries(self) -> tuple[Entry, ...]:
        """Return what the index has; nothing where it is damaged or not for this engine."""
        header = self.read(0, _HEADER.size)
        if len(header) < _HEADER.size:
            return ()
        magic, start, size, digest = _HEADER.unpack(header)
        if magic != MAGIC or size > MOST_INDEX_BYTES or start > os.fstat(self._fd).st_size:
            return ()
        data = self.read(start, size)
        if hashlib.sha256(data).digest() != digest:
            return ()
        try:
            index = _index.decode(data)
        except msgspec.MsgspecError:  # another version of this module has written it
            return ()
        return index.entries[:MOST_SAVED] if index.identity == self._identity else ()

    def _can_be(self, entry: Entry, extent: Extent, file_end: int) -> bool:
        """Return whether an entry is of a part that is in the file, and in no other extent."""
        if entry.offset < GRAIN or entry.offset % GRAIN:
            return False
        if not 0 < entry.size <= min(self._most_bytes, file_end - entry.offset):
            return False
        at = bisect(self._extents, extent)  # never the first, which is the header's
        is_before_next = at == len(self._extents) or extent.stop <= self._extents[at].start
        return self._extents[at - 1].stop <= extent.start and is_before_next


def _end(position: int) -> int:
    """Return the end of the grain that a position is in."""
    return -(-position // GRAIN) * GRAIN


def _cost(saved: SavedSequence) -> int:
    """Return what a sequence takes at most in the file, and in its index."""
    index = _TOKEN_BYTES * len(saved.tokens) + len(saved.salt.encode()) + _ENTRY_BYTES
    return _end(saved.state.size) + index
