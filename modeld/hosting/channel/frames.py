# SPDX-License-Identifier: GPL-3.0-only
"""The messages between modeld and a worker: length-prefixed msgpack, capped and checked.

A frame is four bytes of length (big-endian) and that many bytes of msgpack. Nothing is ever
pickled, and whatever does not decode to one of the types here ends the worker, except a request
whose id can be read: that one fails alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from struct import Struct
from typing import Any, Final, Generic, TypeAlias, TypeVar

import msgspec

from modeld.error_kinds import OwnKind
from modeld.errors import ModeldError, own_kind
from modeld.hosting.channel.vectors import Vectors
from modeld.requests import AnyRequest
from modeld.responses import RerankResponse, StepChunk, TextResponse, TokenizeResponse
from modeld.validation import explain
from modeld.values import ModelSpec, Value

MAX_FRAME_BYTES: Final = 64 << 20
"""Largest frame in either direction."""

_PREFIX: Final = Struct(">I")
_PREFIX_BYTES: Final = _PREFIX.size
_REQUEST_PATH = "[2]"
"""Where a decoder finds the request in its frame."""


class FrameError(Exception):
    """What came over the channel is not a frame."""


class Prepare(Value, frozen=True, kw_only=True, array_like=True, tag="prepare"):
    """First command: import these modules and report :class:`Prepared`.

    Each comes with the name of the backend that wants it.
    """

    imports: tuple[tuple[str, str], ...]


class Sessions(Value, frozen=True, kw_only=True, array_like=True):
    """The file in which an engine keeps its sessions, and how much of it it may take."""

    path: str
    most_bytes: int


class Load(Value, frozen=True, kw_only=True, array_like=True, tag="load"):
    """Open ``engine`` (``package.module:Class``) and report :class:`Loaded` or a failure."""

    engine: str
    spec: ModelSpec
    options: dict[str, Any]
    sessions: Sessions | None = None


class Call(Value, frozen=True, kw_only=True, array_like=True, tag="call"):
    """Call ``function`` (``package.module:function``); report :class:`Returned` or a failure."""

    function: str
    spec: ModelSpec
    options: dict[str, Any]


class Submit(Value, frozen=True, kw_only=True, array_like=True, tag="submit"):
    """Take a request on, of whatever kind."""

    id: int
    request: AnyRequest


class Credit(Value, frozen=True, kw_only=True, array_like=True, tag="credit"):
    """So much of a request's text was taken, as :mod:`modeld.hosting.channel.credit` counts it."""

    id: int
    amount: int


class Cancel(Value, frozen=True, kw_only=True, array_like=True, tag="cancel"):
    """Give up a request and report :class:`Cancelled`, even if it had ended."""

    id: int


class Close(Value, frozen=True, kw_only=True, array_like=True, tag="close"):
    """Give everything back and exit."""


class Unreadable(Value, frozen=True, kw_only=True, array_like=True, tag="unreadable"):
    """What stands for a request that could not be decoded; never on the wire itself."""

    id: int
    why: str
    field: str | None = None


Command: TypeAlias = Prepare | Load | Call | Submit | Credit | Cancel | Close
Received: TypeAlias = Command | Unreadable
"""A command as the worker gets it."""
Sent: TypeAlias = StepChunk | Vectors | RerankResponse | TokenizeResponse | TextResponse
"""What an engine has produced, as it comes over the channel."""


class Prepared(Value, frozen=True, kw_only=True, array_like=True, tag="prepared"):
    """The worker is up, and its imports are done.

    ``failed`` has the backend, the module and what was raised, for each import that failed.
    """

    failed: tuple[tuple[str, str, str], ...] = ()


class Progress(Value, frozen=True, kw_only=True, array_like=True, tag="progress"):
    """How much of a load is done, from 0.0 to 1.0."""

    fraction: float


class Loaded(Value, frozen=True, kw_only=True, array_like=True, tag="loaded"):
    """The model is ready."""

    slots: int
    held_bytes: int
    held_on_gpus: Mapping[str, int] = {}


class Returned(Value, frozen=True, kw_only=True, array_like=True, tag="returned"):
    """What the called function has returned, as plain data."""

    result: Any


class LoadFailed(Value, frozen=True, kw_only=True, array_like=True, tag="load_failed"):
    """A load or a call has failed; ``code`` is one of :mod:`modeld.errors`, or a plugin's own."""

    code: str
    message: str
    own: OwnKind | None = None

    @classmethod
    def of(cls, error: ModeldError) -> LoadFailed:
        """Return an error as a report."""
        return cls(code=error.code, message=error.message, own=own_kind(error))


class Stepped(Value, frozen=True, kw_only=True, array_like=True, tag="stepped"):
    """What one step has produced, for all requests at once; may be empty, as a sign of life."""

    chunks: tuple[tuple[int, Sent], ...]


class Cancelled(Value, frozen=True, kw_only=True, array_like=True, tag="cancelled"):
    """The request is given up, and its slot is free."""

    id: int


Report: TypeAlias = Prepared | Progress | Loaded | Returned | LoadFailed | Stepped | Cancelled

F = TypeVar("F")

_encoder = msgspec.msgpack.Encoder()


def encode(message: Command | Report) -> bytes:
    """Return the frame for one message.

    Raises:
        FrameError: the message is larger than :data:`MAX_FRAME_BYTES`, a text in it is not
            Unicode, a number has more than 64 bits, or something in it is no plain data.
    """
    frame = bytearray(_PREFIX_BYTES)  # filled in last: the length is not known before
    try:
        _encoder.encode_into(message, frame, _PREFIX_BYTES)
    except UnicodeEncodeError as exc:
        raise FrameError(f"a text cannot be encoded: {exc.reason}") from exc
    except OverflowError as exc:
        raise FrameError(f"a number cannot be encoded: {exc}") from exc
    except (TypeError, RecursionError) as exc:
        raise FrameError(f"a value cannot be encoded: {exc}") from exc
    size = len(frame) - _PREFIX_BYTES
    if size > MAX_FRAME_BYTES:
        raise FrameError(f"a message of {size} bytes is over the limit of {MAX_FRAME_BYTES}")
    _PREFIX.pack_into(frame, 0, size)
    return bytes(frame)


class FrameReader(Generic[F]):
    """Cuts a stream of bytes into messages of one of the two directions."""

    def __init__(self, message_type: Any) -> None:
        self._decoder: msgspec.msgpack.Decoder[F] = msgspec.msgpack.Decoder(message_type)
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[F]:
        """Yield all messages that are complete now; those before garbage come before the error.

        Raises:
            FrameError: a length is over the limit, or the content is not a known message.
        """
        # Nearly always nothing is left of the data before, and none of this has to be copied.
        buffer: bytes | bytearray = data
        if self._pending:
            self._pending += data
            buffer = self._pending
        start, length = 0, len(buffer)
        try:
            while (content := start + _PREFIX_BYTES) <= length:
                (size,) = _PREFIX.unpack_from(buffer, start)
                # Before the content has come: a false length must not fill the memory first.
                if size > MAX_FRAME_BYTES:
                    raise FrameError(
                        f"a frame of {size} bytes is over the limit of {MAX_FRAME_BYTES}"
                    )
                end = content + size
                if end > length:
                    break
                message = self._decoded(buffer[content:end])
                start = end
                yield message
        finally:
            # Also when the caller stops half-way: no message comes twice. Garbage stays, so that
            # nothing that follows it is ever taken for a message.
            if buffer is data:
                self._pending += data[start:]
            else:
                del self._pending[:start]

    def _decoded(self, content: bytes | bytearray) -> F:
        try:
            return self._decoder.decode(content)
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            raise FrameError(f"a frame of {len(content)} bytes is not a message: {exc}") from exc


class CommandReader(FrameReader["Received"]):
    """The worker's side: what is wrong with one request must not end all the others."""

    def __init__(self) -> None:
        super().__init__(Command)

    def _decoded(self, content: bytes | bytearray) -> Received:
        try:
            return super()._decoded(content)
        except FrameError as exc:
            request_id = _id_of(content)
            if request_id is None:
                raise
            cause = exc.__cause__
            if not isinstance(cause, msgspec.ValidationError):
                return Unreadable(id=request_id, why=str(exc))
            why, field = explain(cause, within=_REQUEST_PATH)
            return Unreadable(id=request_id, why=why, field=field)


def _id_of(content: bytes | bytearray) -> int | None:
    """Return the id of a request whose frame is sound and whose content is not, if it is one."""
    try:
        tag, request_id, _ = _head.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return request_id if tag == "submit" else None


_head = msgspec.msgpack.Decoder(tuple[str, int, msgspec.Raw])


def command_reader() -> CommandReader:
    """Return a reader for the worker's side."""
    return CommandReader()


def report_reader() -> FrameReader[Report]:
    """Return a reader for modeld's side."""
    return FrameReader(Report)
