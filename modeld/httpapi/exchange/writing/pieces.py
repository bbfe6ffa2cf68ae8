# SPDX-License-Identifier: GPL-3.0-only
"""Brings the pieces of one stream to the connection as bytes, with or without a task."""

from __future__ import annotations

from typing import Final

from modeld.httpapi.exchange.exchange import DirectWrite
from modeld.httpapi.exchange.writing.contained_encoder import ContainedStream
from modeld.responses import Piece

PIECE_BYTES: Final = 16 << 10
"""Most that is sent at once: to take it within ``write_timeout_s`` is all that a client must do."""


class Pieces:
    """Encodes the pieces of one stream, and writes them at once where ``direct`` can.

    ``taken`` is how many :meth:`take` has dealt with.
    """

    def __init__(self, encoder: ContainedStream, direct: DirectWrite | None) -> None:
        self.taken = 0
        self._encoder = encoder
        self._piece = encoder.piece
        self._write = None if direct is None else direct.write
        self._left: tuple[object, BaseException | None] | None = None

    def take(self, piece: Piece) -> bool:
        """Write a piece of the only generation while its task waits, and return whether that went.

        What is left is encoded already, and :meth:`encoded` returns it when the task comes with the
        same piece: an encoder remembers what it wrote, and must not see a piece twice.
        """
        write = self._write
        # An engine that offers a piece again would have it encoded again, without what the encoder
        # says once; and what was left of the first time would be lost.
        if write is None or self._left is not None:
            return False
        try:
            body = self._piece(0, piece)
        except BaseException as exc:  # noqa: BLE001  (it is raised in the task of the request)
            self._left = None, exc
            return False
        if type(body) is bytes and len(body) <= PIECE_BYTES and (not body or write(body)):
            self.taken += 1
            return True
        self._left = body, None
        return False

    def encoded(self, index: int, piece: Piece) -> bytes:
        """Return a piece as bytes.

        Raises:
            ModeldError: the encoder has failed.
        """
        if self._left is not None:
            (left, failed), self._left = self._left, None
            if failed is not None:
                self._encoder.refuse(failed)
            return self._checked(left)
        try:
            body = self._piece(index, piece)
        except BaseException as exc:  # noqa: BLE001  (a plugin's SystemExit is its fault)
            self._encoder.refuse(exc)
        return self._checked(body)

    def write(self, body: bytes) -> bool:
        """Write what is no longer than :data:`PIECE_BYTES`, if that can be done at once."""
        return self._write is not None and (not body or self._write(body))

    def _checked(self, body: object) -> bytes:
        if not isinstance(body, bytes):
            self._encoder.refuse_body(body)
        return body
