# SPDX-License-Identifier: GPL-3.0-only
"""Writes the responses of ``POST /v1/responses``: a stream of events, or one object."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from modeld.dialects import JSON, StreamEncoder, WholeEncoder
from modeld.errors import ModeldError
from modeld.messages import Message, ToolCall
from modeld.responses import Done, Piece, TokenLogprobs, ToolCallDelta
from modeld_openai.errors import blamed
from modeld_openai.events import EVENTS, json_text, named_event
from modeld_openai.logprobs import ContentLogprobs
from modeld_openai.responses.names import named
from modeld_openai.responses.writing.frame import Frame, Keep
from modeld_openai.responses.writing.output_items import (
    Document,
    call_id,
    items_of,
    last_status,
)
from modeld_openai.responses.writing.stream_items import (
    Event,
    StreamCall,
    StreamMessage,
    StreamReasoning,
    StreamText,
)

_encode = msgspec.json.Encoder().encode


class ResponseObject(WholeEncoder):
    """Writes one object when all is there; ``keep`` is where responses are kept, if they are."""

    media_type = JSON

    def __init__(self, frame: Frame, keep: Keep | None) -> None:
        self._frame = frame
        self._keep = keep
        self._content = ContentLogprobs()
        self._logprobs: list[TokenLogprobs] = []

    def note(self, index: int, piece: Piece) -> None:  # noqa: ARG002  (there is one generation)
        """Take note of how probable what is said was."""
        self._logprobs += self._content.of(piece)

    def whole(self, generations: Sequence[Done]) -> bytes:
        """Return the object."""
        (done,) = generations
        calls = [
            replace(call, id=call.id or call_id(self._frame.id, number))
            for number, call in enumerate(done.tool_calls or ())
        ]
        items = items_of(done, calls, self._logprobs, self._frame.id)
        document = _encode(self._frame.ended(items, done))
        if self._keep is not None:
            said = _turn(done.content or "", done.reasoning or "", calls)
            self._keep(document, said)
        return document


class ResponseStream(StreamEncoder):
    """Writes events as the pieces come.

    A text or a thought is an item until something else comes; calls are items until the end, as
    their parts may come in any order.
    """

    media_type = EVENTS

    def __init__(self, frame: Frame, keep: Keep | None) -> None:
        self._frame = frame
        self._keep = keep
        self._sequence = 0
        self._items: list[StreamText | StreamCall] = []
        self._text: StreamText | None = None
        self._calls: dict[int, StreamCall] = {}
        self._closed: dict[int, Document] = {}
        self._content = ContentLogprobs()

    def piece(self, index: int, piece: Piece) -> bytes:  # noqa: ARG002  (there is one generation)
        """Return a part of an item as its delta, after what must come before it."""
        logprobs = self._content.of(piece) if piece.logprobs else ()
        if isinstance(piece, ToolCallDelta):
            return self._call_part(piece)
        text = self._text
        if text is not None and text.takes is type(piece) and not logprobs:  # nearly all are
            text.texts.append(piece.text)
            self._sequence += 1
            return b'%b%b,"sequence_number":%d}\n\n' % (
                text.before,
                json_text(piece.text),
                self._sequence - 1,
            )
        before = b"" if text is not None and text.takes is type(piece) else self._open_text(piece)
        assert self._text is not None
        return before + self._written(self._text.delta(piece.text, logprobs))

    def done(self, index: int, done: Done) -> bytes:  # noqa: ARG002
        """Return the ends of all items that are open, and that of the response."""
        written = b""
        if not self._items:
            written += self._open(StreamMessage(self._frame.id, 0))
        for number, item in enumerate(self._items):
            if number not in self._closed:
                status = last_status(done) if number == len(self._items) - 1 else "completed"
                written += self._written(*item.end(status))
                self._closed[number] = item.document(status)
        document = _encode(self._frame.ended(self._output(), done))
        if self._keep is not None:
            self._keep(document, self._said())
        name = "response.incomplete" if done.finish_reason.is_cut else "response.completed"
        return written + self._written((name, {"response": msgspec.Raw(document)}))

    def failure(self, error: ModeldError, status: int) -> bytes:
        """Return the error, and the response as it has failed."""
        param, message = blamed(error, named)
        told: Document = {"code": error.code, "message": message, "param": param}
        failed = self._frame.failed(self._output(), message, status)
        return self._written(("error", told), ("response.failed", {"response": failed}))

    def _call_part(self, part: ToolCallDelta) -> bytes:
        written = b""
        call = self._calls.get(part.index)
        if call is None:
            made = part.id or call_id(self._frame.id, part.index)
            call = StreamCall(self._frame.id, len(self._items), made, part.name)
            self._calls[part.index] = call
            written = self._open(call)
        return written + (self._written(call.delta(part.arguments)) if part.arguments else b"")

    def _open_text(self, piece: Piece) -> bytes:
        kind = StreamReasoning if StreamReasoning.takes is type(piece) else StreamMessage
        return self._open(kind(self._frame.id, len(self._items)))

    def _open(self, item: StreamText | StreamCall) -> bytes:
        """Return how an item begins, after the end of the text before it."""
        written = b"" if self._items else self._begin()
        if self._text is not None:
            number = self._items.index(self._text)
            written += self._written(*self._text.end("completed"))
            self._closed[number] = self._text.document("completed")
        self._text = item if isinstance(item, StreamText) else None
        self._items.append(item)
        return written + self._written(*item.begin())

    def _begin(self) -> bytes:
        begun: Document = {"response": self._frame.begun()}
        return self._written(("response.created", begun), ("response.in_progress", begun))

    def _written(self, *events: Event) -> bytes:
        parts: list[bytes] = []
        for name, members in events:
            numbered = {"type": name, **members, "sequence_number": self._sequence}
            parts.append(named_event(name, numbered))
            self._sequence += 1
        return b"".join(parts)

    def _output(self) -> list[Document]:
        return [self._closed[number] for number in sorted(self._closed)]

    def _said(self) -> Message:
        """Return the response as a turn of the chat."""
        said = [item for item in self._items if isinstance(item, StreamMessage)]
        thought = [item for item in self._items if isinstance(item, StreamReasoning)]
        calls = [self._calls[index].call for index in sorted(self._calls)]
        return _turn(
            "".join(text for item in said for text in item.texts),
            "".join(text for item in thought for text in item.texts),
            calls,
        )


def _turn(content: str, reasoning: str, calls: Sequence[ToolCall]) -> Message:
    return Message(role="assistant", content=content, reasoning=reasoning, tool_calls=tuple(calls))
