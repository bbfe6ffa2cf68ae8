# SPDX-License-Identifier: GPL-3.0-only
"""The messages between modeld and a worker: length-prefixed msgpack, capped and checked.

A frame is four bytes of length (big-endian) and that many bytes of msgpack. Nothing is ever
pickled, and whatever does not decode to one of the types here ends the worker.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Generic, TypeAlias, TypeVar

import msgspec

from modeld.hosting.vectors import Vectors
from modeld.questions import AnyQuestion, Ranking, Text, Tokens
from modeld.values import GenerateRequest, ModelSpec, StepChunk, Value

MAX_FRAME_BYTES: Final = 64 << 20
"""Largest frame in either direction."""

_PREFIX_BYTES = 4


class FrameError(Exception):
    """What came over the channel is not a frame."""


class Prepare(Value, frozen=True, kw_only=True, array_like=True, tag="prepare"):
    """First command: import these modules and answer :class:`Prepared`."""

    imports: tuple[str, ...]


class Load(Value, frozen=True, kw_only=True, array_like=True, tag="load"):
    """Open ``engine`` (``package.module:Class``) and answer :class:`Loaded` or a failure."""

    engine: str
    spec: ModelSpec
    options: dict[str, Any]


class Call(Value, frozen=True, kw_only=True, array_like=True, tag="call"):
    """Call ``function`` (``package.module:function``); answer :class:`Returned` or a failure."""

    function: str
    spec: ModelSpec
    options: dict[str, Any]


class Submit(Value, frozen=True, kw_only=True, array_like=True, tag="submit"):
    """Take a request on."""

    id: int
    request: GenerateRequest


class Ask(Value, frozen=True, kw_only=True, array_like=True, tag="ask"):
    """Take a question on."""

    id: int
    question: AnyQuestion


class Cancel(Value, frozen=True, kw_only=True, array_like=True, tag="cancel"):
    """Give up a request or question and answer :class:`Cancelled`, even if it had ended."""

    id: int


class Close(Value, frozen=True, kw_only=True, array_like=True, tag="close"):
    """Give everything back and exit."""


Command: TypeAlias = Prepare | Load | Call | Submit | Ask | Cancel | Close
Sent: TypeAlias = StepChunk | Vectors | Ranking | Tokens | Text
"""What an engine has produced, as it comes over the channel."""


class Prepared(Value, frozen=True, kw_only=True, array_like=True, tag="prepared"):
    """The worker is up, and its imports are done."""


class Progress(Value, frozen=True, kw_only=True, array_like=True, tag="progress"):
    """How much of a load is done, from 0.0 to 1.0."""

    fraction: float


class Loaded(Value, frozen=True, kw_only=True, array_like=True, tag="loaded"):
    """The model is ready."""

    slots: int
    held_bytes: int


class Returned(Value, frozen=True, kw_only=True, array_like=True, tag="returned"):
    """What the called function has returned, as plain data."""

    result: Any


class LoadFailed(Value, frozen=True, kw_only=True, array_like=True, tag="load_failed"):
    """A load or a call has failed; ``code`` is one of :mod:`modeld.errors`."""

    code: str
    message: str


class Stepped(Value, frozen=True, kw_only=True, array_like=True, tag="stepped"):
    """What one step has produced, for all requests at once; may be empty, as a sign of life."""

    chunks: tuple[tuple[int, Sent], ...]


class Cancelled(Value, frozen=True, kw_only=True, array_like=True, tag="cancelled"):
    """The request or question is given up, and its slot is free."""

    id: int


Report: TypeAlias = Prepared | Progress | Loaded | Returned | LoadFailed | Stepped | Cancelled

F = TypeVar("F")

_encoder = msgspec.msgpack.Encoder()


def encode(message: Command | Report) -> bytes:
    """The frame for one message.

    Raises:
        FrameError: the message is larger than :data:`MAX_FRAME_BYTES`, a text in it is not
            Unicode, or a number has more than 64 bits.
    """
    frame = bytearray(_PREFIX_BYTES)
    try:
        _encoder.encode_into(message, frame, _PREFIX_BYTES)
    except UnicodeEncodeError as exc:
        raise FrameError(f"a text cannot be encoded: {exc.reason}") from exc
    except OverflowError as exc:
        raise FrameError(f"a number cannot be encoded: {exc}") from exc
    size = len(frame) - _PREFIX_BYTES
    if size > MAX_FRAME_BYTES:
        raise FrameError(f"a message of {size} bytes is over the limit of {MAX_FRAME_BYTES}")
    frame[:_PREFIX_BYTES] = size.to_bytes(_PREFIX_BYTES, "big")
    return bytes(frame)


class FrameReader(Generic[F]):
    """Cuts a stream of bytes into messages of one of the two directions."""

    def __init__(self, message_type: Any) -> None:
        self._decoder: msgspec.msgpack.Decoder[F] = msgspec.msgpack.Decoder(message_type)
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[F]:
        """All messages that are complete now; those before garbage come before the error.

        Raises:
            FrameError: a length is over the limit, or the content is not a known message.
        """
        self._pending += data
        start = 0
        try:
            while (end := self._end_of_frame(start)) is not None:
                message = self._decoded(self._pending[start + _PREFIX_BYTES : end])
                start = end
                yield message
        finally:
            del self._pending[:start]

    def _end_of_frame(self, start: int) -> int | None:
        """Where the frame at ``start`` ends; ``None`` while some of it has not come."""
        content = start + _PREFIX_BYTES
        if content > len(self._pending):
            return None
        size = int.from_bytes(self._pending[start:content], "big")
        if size > MAX_FRAME_BYTES:
            raise FrameError(f"a frame of {size} bytes is over the limit of {MAX_FRAME_BYTES}")
        return content + size if content + size <= len(self._pending) else None

    def _decoded(self, content: bytearray) -> F:
        try:
            return self._decoder.decode(content)
        except (msgspec.MsgspecError, UnicodeDecodeError) as exc:
            raise FrameError(f"a frame of {len(content)} bytes is not a message: {exc}") from exc


def command_reader() -> FrameReader[Command]:
    """A reader for the worker's side."""
    return FrameReader(Command)


def report_reader() -> FrameReader[Report]:
    """A reader for modeld's side."""
    return FrameReader(Report)
