# SPDX-License-Identifier: GPL-3.0-only
"""The default format: one JSON object per line."""

from __future__ import annotations

from collections.abc import Iterable

from modeld import Chunk, ModeldError, OutputFormatter, hookimpl
from modeld.builtin.chunk_json import encode_chunk, encode_failure


class Ndjson(OutputFormatter):
    """Newline-delimited JSON, as soon as each token is there."""

    name = "ndjson"
    media_type = "application/x-ndjson"

    def encode(self, chunk: Chunk) -> bytes:
        """Return the chunk as one line."""
        return encode_chunk(chunk) + b"\n"

    def encode_error(self, error: ModeldError, status: int) -> bytes:
        """Return the last line of a stream that broke."""
        return encode_failure(error, status) + b"\n"


@hookimpl
def modeld_register_formatters() -> Iterable[OutputFormatter]:
    """Bring the formatter ``ndjson``."""
    return [Ndjson()]
