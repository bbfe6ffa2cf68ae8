# SPDX-License-Identifier: GPL-3.0-only
"""Cuts the bytes of a stream into its JSON documents, however the network has cut them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

MAX_LINE_BYTES: Final = 16 << 20

_BOM: Final = b"\xef\xbb\xbf"


class StreamError(Exception):
    """The bytes are not a stream of the kind that was asked for."""


class Lines:
    """Lines that end with LF, CRLF or CR. They stay bytes, so no character is ever cut."""

    def __init__(self) -> None:
        self._rest = b""
        self._after_cr = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take what has come and give the lines that it ends, without their ends.

        Raises:
            StreamError: a line is longer than MAX_LINE_BYTES.
        """
        if self._after_cr and data[:1] == b"\n":
            data = data[1:]
            self._after_cr = False
        if not data:
            return
        self._after_cr = data[-1:] == b"\r"
        lines = (self._rest + data).splitlines(keepends=True)
        self._rest = b"" if data[-1:] in b"\r\n" else lines.pop()
        if len(self._rest) > MAX_LINE_BYTES:
            raise StreamError(f"a line is longer than {MAX_LINE_BYTES} bytes")
        for line in lines:
            yield line.rstrip(b"\r\n")

    def close(self) -> bytes:
        """Yield the last line, if it has no end."""
        return self._rest


class JsonLines:
    """The documents of a stream that has one on each line (NDJSON); empty lines do not count."""

    def __init__(self) -> None:
        self._lines = Lines()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take what has come and give the documents that are complete."""
        return (line for line in self._lines.feed(data) if line.strip())

    def close(self) -> bytes:
        """Yield what is left when nothing more comes."""
        return self._lines.close()


class Events:
    """The data of server-sent events; comments, names, ids and other fields do not count."""

    def __init__(self) -> None:
        self._lines = Lines()
        self._data: list[bytes] = []
        self._began = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take what has come and give the data of the events that are complete."""
        for line in self._lines.feed(data):
            if line:
                self._field(line)
            elif self._data:
                yield b"\n".join(self._data)
                self._data.clear()

    def close(self) -> bytes:
        """Yield the data of an event that no empty line has ended."""
        if line := self._lines.close():
            self._field(line)
        return b"\n".join(self._data)

    def _field(self, line: bytes) -> None:
        if not self._began:
            line = line.removeprefix(_BOM)
            self._began = True
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data.append(value.removeprefix(b" "))
