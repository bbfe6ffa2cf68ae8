# SPDX-License-Identifier: GPL-3.0-only
"""The native wire's encoders: one of the installed formatters writes the chunks."""

from __future__ import annotations

from collections.abc import Sequence

from modeld.dialects import Encoder, StreamEncoder, WholeEncoder
from modeld.errors import ModeldError
from modeld.interfaces import OutputFormatter
from modeld.responses import Done, Piece


def encoder_of(formatter: OutputFormatter) -> Encoder:
    """Return what writes the one generation of a response as a formatter does."""
    return FormattedStream(formatter) if formatter.streams else FormattedWhole(formatter)


class FormattedStream(StreamEncoder):
    """Writes a generation as it comes."""

    def __init__(self, formatter: OutputFormatter) -> None:
        self.name = formatter.name
        self._formatter = formatter
        self._encode = formatter.encode
        self.media_type = formatter.media_type

    def piece(self, index: int, piece: Piece) -> bytes:  # noqa: ARG002
        """Return a part of the generation."""
        return self._encode(piece)

    def done(self, index: int, done: Done) -> bytes:  # noqa: ARG002
        """Return its end."""
        return self._formatter.encode(done)

    def failure(self, error: ModeldError, status: int) -> bytes:
        """Return the error as the last part of the body."""
        return self._formatter.encode_error(error, status)


class FormattedWhole(WholeEncoder):
    """Writes a generation in one piece."""

    def __init__(self, formatter: OutputFormatter) -> None:
        self.name = formatter.name
        self._formatter = formatter
        self.media_type = formatter.media_type

    def whole(self, generations: Sequence[Done]) -> bytes:
        """Return the response."""
        return self._formatter.encode(generations[0])
