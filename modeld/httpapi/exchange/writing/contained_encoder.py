# SPDX-License-Identifier: GPL-3.0-only
"""Wraps plugins' encoders: checks that they return bytes, and contains their exceptions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NoReturn, TypeAlias, TypeVar

from modeld.dialects import Encoder, StreamEncoder, WholeEncoder
from modeld.errors import InternalError, ModeldError
from modeld.httpapi.exchange.contained import Blame, refuse
from modeld.plugins.guard import shown
from modeld.responses import Done, Piece

T = TypeVar("T")

ContainedEncoder: TypeAlias = "ContainedStream | ContainedWhole"


def contained(encoder: object, what: str, blame: Blame) -> ContainedEncoder:
    """Return an encoder that may be relied on, around one that a plugin has made.

    Raises:
        InternalError: it is none.
    """
    if isinstance(encoder, StreamEncoder):
        return ContainedStream(encoder, what, blame)
    if isinstance(encoder, WholeEncoder):
        return ContainedWhole(encoder, what, blame)
    message = f"{what} is {shown(encoder)}, which is no encoder"
    blame(message, None)
    raise InternalError(message)


class ContainedStream:
    """Passes on what an encoder writes.

    ``piece`` is the encoder's own method: a call around it would cost every token as much as the
    rest of its way. For what goes wrong there, there are :meth:`refuse` and :meth:`refuse_body`.
    """

    def __init__(self, encoder: StreamEncoder, what: str, blame: Blame) -> None:
        self._encoder = encoder
        self._what = what
        self._blame = blame
        self.piece = encoder.piece
        self.media_type, self.headers = _head(encoder, what, blame)

    def refuse(self, exc: BaseException) -> NoReturn:
        """Blame the plugin for what ``piece`` has raised.

        Raises:
            ModeldError: always.
        """
        if isinstance(exc, ModeldError):
            raise exc
        refuse(self._what, exc, self._blame)

    def refuse_body(self, body: object) -> NoReturn:
        """Blame the plugin for what ``piece`` has returned, which is no bytes.

        Raises:
            InternalError: always.
        """
        _refuse_body(body, self._what, self._blame)

    def done(self, index: int, done: Done) -> bytes:
        """Return the good end of one generation."""
        return _bytes(lambda: self._encoder.done(index, done), self._what, self._blame)

    def last(self) -> bytes:
        """Return what follows all ends."""
        return _bytes(self._encoder.last, self._what, self._blame)

    def failure(self, error: ModeldError, status: int) -> bytes:
        """Return what ends a response that has failed.

        Where that fails too, the connection is closed: a response must not end as if it were done.
        """
        return _bytes(lambda: self._encoder.failure(error, status), self._what, self._blame)


class ContainedWhole:
    """Passes on what an encoder writes in one piece."""

    def __init__(self, encoder: WholeEncoder, what: str, blame: Blame) -> None:
        self._encoder = encoder
        self._what = what
        self._blame = blame
        self.media_type, self.headers = _head(encoder, what, blame)

    def note(self, index: int, piece: Piece) -> None:
        """Pass a part on."""
        _tried(lambda: self._encoder.note(index, piece), self._what, self._blame)

    def whole(self, generations: Sequence[Done]) -> bytes:
        """Return the response."""
        return _bytes(lambda: self._encoder.whole(generations), self._what, self._blame)


def _head(encoder: Encoder, what: str, blame: Blame) -> tuple[str, dict[str, str]]:
    """Return the media type and the headers of an encoder, read once."""

    def read() -> tuple[str, dict[str, str]]:
        media_type, headers = encoder.media_type, dict(encoder.headers)
        texts: tuple[object, ...] = (media_type, *headers, *headers.values())
        wrong = [each for each in texts if not (isinstance(each, str) and each.isprintable())]
        if wrong:
            raise TypeError(f"{shown(wrong[0])} cannot stand in a header")
        "".join(map(str, texts)).encode("latin-1")
        return media_type, headers

    return _tried(read, what, blame)


def _bytes(write: Callable[[], bytes], what: str, blame: Blame) -> bytes:
    body = _tried(write, what, blame)
    if not isinstance(body, bytes):
        _refuse_body(body, what, blame)
    return body


def _tried(call: Callable[[], T], what: str, blame: Blame) -> T:
    try:
        return call()
    except ModeldError:
        raise
    except BaseException as exc:  # noqa: BLE001  (a plugin's SystemExit is its fault, not ours)
        refuse(what, exc, blame)


def _refuse_body(body: object, what: str, blame: Blame) -> NoReturn:
    message = f"{what} returned {shown(body)}, which is no bytes"
    blame(message, None)
    raise InternalError(message)
