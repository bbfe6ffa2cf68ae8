# SPDX-License-Identifier: GPL-3.0-only
"""Server-sent events, for browsers."""

from __future__ import annotations

from collections.abc import Iterable

from modeld import Chunk, ModeldError, OutputFormatter, hookimpl
from modeld.builtin.chunk_json import encode_chunk, encode_failure


class ServerSentEvents(OutputFormatter):
    """The objects of the default format as the data of events; ``done`` is in the last one."""

    name = "sse"
    media_type = "text/event-stream"

    def encode(self, chunk: Chunk) -> bytes:
        """Return the chunk as one event."""
        return b"data: " + encode_chunk(chunk) + b"\n\n"

    def encode_error(self, error: ModeldError, status: int) -> bytes:
        """Return the last event of a stream that broke."""
        return b"data: " + encode_failure(error, status) + b"\n\n"


@hookimpl
def modeld_register_formatters() -> Iterable[OutputFormatter]:
    """Bring the formatter ``sse``."""
    return [ServerSentEvents()]
