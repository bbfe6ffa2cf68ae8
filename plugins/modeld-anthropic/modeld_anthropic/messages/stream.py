# SPDX-License-Identifier: GPL-3.0-only
"""Writes a message as events: one block after the other, each with a start, parts and a stop."""

from __future__ import annotations

from typing import Final, assert_never

from modeld.dialects import Call, StreamEncoder
from modeld.dialects.json_text import json_text
from modeld.errors import InternalError, ModeldError
from modeld.responses import Done, Piece, ReasoningToken, Token, ToolCallDelta
from modeld_anthropic.errors import error_document
from modeld_anthropic.events import EVENTS, event
from modeld_anthropic.headers import own_headers
from modeld_anthropic.messages.head import end_of, message_of, tool_use_of
from modeld_anthropic.messages.thinking import signature_of
from modeld_anthropic.usage import UNKNOWN, usage_document

_TEXT: Final = "text"
_THINKING: Final = "thinking"
_DELTA: Final = (
    b"event: content_block_delta\n"
    b'data: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":'
)
_AFTER: Final = b"}}\n\n"


class MessageStream(StreamEncoder):
    """Writes events as pieces come.

    A block is open until a piece of another kind comes, or of another call. What surrounds the
    parts of a block is the same for all of them, and is written once.
    """

    media_type = EVENTS

    def __init__(self, call: Call, *, shows_thinking: bool) -> None:
        self.headers = own_headers(call.request_id)
        self._call = call
        self._shows_thinking = shows_thinking
        self._open: str | int | None = None  # the kind of the block, or the number of its call
        self._before = b""
        self._blocks = 0
        self._calls = 0
        self._thought: list[str] = []

    def piece(self, index: int, piece: Piece) -> bytes:  # noqa: ARG002
        """Return a part of a block, and before it what ends the last one and begins this one."""
        match piece:
            case Token(text=text):  # nearly all are
                begin = b"" if self._open == _TEXT else self._begin_text()
                return begin + self._part(text)
            case ReasoningToken(text=text):
                begin = b"" if self._open == _THINKING else self._begin_thinking()
                if self._shows_thinking:
                    return begin + self._part(text)
                self._thought.append(text)
                return begin
            case ToolCallDelta(arguments=arguments):
                begin = b"" if self._open == piece.index else self._begin_call(piece)
                return begin + self._part(arguments) if arguments else begin
            case _:
                assert_never(piece)

    def done(self, index: int, done: Done) -> bytes:  # noqa: ARG002
        """Return the end of the message, with what it cost."""
        delta = event("message_delta", delta=end_of(done), usage=usage_document(done.usage))
        return self._begin_message() + self._end_block() + delta + event("message_stop")

    def failure(self, error: ModeldError, status: int) -> bytes:
        """Return the error as the last event."""
        document = error_document(error, status, self._call.request_id)
        return event("error", **{name: document[name] for name in ("error", "request_id")})

    def _part(self, text: str) -> bytes:
        return self._before + json_text(text) + _AFTER

    def _begin_text(self) -> bytes:
        return self._begin(_TEXT, {"type": "text", "text": ""}, b"text_delta", b"text")

    def _begin_thinking(self) -> bytes:
        block = {"type": "thinking", "thinking": "", "signature": ""}
        return self._begin(_THINKING, block, b"thinking_delta", b"thinking")

    def _begin_call(self, first: ToolCallDelta) -> bytes:
        """Begin the block of a call.

        Raises:
            InternalError: the engine goes on with a call after it has begun another.
        """
        if first.index != self._calls:
            raise InternalError(f"a part of call {first.index} comes after {self._calls} calls")
        self._calls += 1
        block = tool_use_of(self._call, first.index, first.id, first.name, {})
        return self._begin(first.index, block, b"input_json_delta", b"partial_json")

    def _begin(self, which: str | int, block: object, kind: bytes, member: bytes) -> bytes:
        before = self._begin_message() + self._end_block()
        start = event("content_block_start", index=self._blocks, content_block=block)
        self._open = which
        self._before = _DELTA % (self._blocks, kind, member)
        return before + start + (event("ping") if self._blocks == 0 else b"")

    def _begin_message(self) -> bytes:
        if self._blocks or self._open is not None:
            return b""
        return event("message_start", message=message_of(self._call, [], end_of(None), UNKNOWN))

    def _end_block(self) -> bytes:
        """Return what ends the open block, if there is one; thinking is signed."""
        if self._open is None:
            return b""
        signed = b""
        if self._open == _THINKING:
            signature = signature_of("".join(self._thought), shown=self._shows_thinking)
            delta = {"type": "signature_delta", "signature": signature}
            signed = event("content_block_delta", index=self._blocks, delta=delta)
            self._thought.clear()
        stop = event("content_block_stop", index=self._blocks)
        self._open = None
        self._blocks += 1
        return signed + stop
