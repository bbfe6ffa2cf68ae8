# SPDX-License-Identifier: GPL-3.0-only
"""The whole generation as one JSON object."""

from __future__ import annotations

from collections.abc import Iterable

from modeld import Chunk, Done, ModeldError, OutputFormatter, hookimpl
from modeld.builtin.chunk_json import encode_chunk, encode_failure


class PlainJson(OutputFormatter):
    """One object at the end: ``done``, ``content``, ``finish_reason`` and ``usage``."""

    name = "plain-json"
    media_type = "application/json"
    streams = False

    def encode(self, chunk: Chunk) -> bytes:
        """Return the whole generation at its end; nothing for a token, which the end repeats."""
        return encode_chunk(chunk) if isinstance(chunk, Done) else b""

    def encode_error(self, error: ModeldError, status: int) -> bytes:
        """Return the error object, which then is the whole response."""
        return encode_failure(error, status)


@hookimpl
def modeld_register_formatters() -> Iterable[OutputFormatter]:
    """Bring the formatter ``plain-json``."""
    return [PlainJson()]
