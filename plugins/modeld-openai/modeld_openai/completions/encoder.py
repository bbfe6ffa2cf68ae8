# SPDX-License-Identifier: GPL-3.0-only
"""Writes the responses of ``POST /v1/completions``: a stream of objects, or one of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from modeld.dialects import JSON, Call, StreamEncoder, WholeEncoder
from modeld.errors import ModeldError
from modeld.responses import Done, Piece, ToolCallDelta
from modeld_openai.errors import error_document
from modeld_openai.events import (
    DONE,
    EVENTS,
    event,
    json_line,
    json_long_text,
    json_text,
    on_one_line,
)
from modeld_openai.head import head
from modeld_openai.logprobs import CompletionLogprobs
from modeld_openai.usage import usage_of

_AFTER: Final = b',"logprobs":null,"finish_reason":null}]}\n\n'

_encode = msgspec.json.Encoder().encode


class CompletionStream(StreamEncoder):
    """Writes pieces as they come; what surrounds a text is written once for each choice."""

    media_type = EVENTS

    def __init__(
        self, call: Call, beginnings: Sequence[str], choices: int, *, wants_usage: bool
    ) -> None:
        self._beginnings = dict(enumerate(beginnings))
        self._choices = choices
        self._wants_usage = wants_usage
        self._ends: dict[int, Done] = {}
        self._logprobs = [CompletionLogprobs() for _ in beginnings]
        self._common = json_line(head(call, "cmpl", "text_completion"))[:-1]
        self._before = [
            b'data: %b,"choices":[{"index":%d,"text":' % (self._common, index)
            for index in range(len(beginnings))
        ]

    def piece(self, index: int, piece: Piece) -> bytes:
        """Return a part of a choice; all that the model says is text here."""
        if isinstance(piece, ToolCallDelta):
            return b""
        text = self._beginnings.pop(index, "") + piece.text
        chunk = self._before[index] + json_text(text)
        if not piece.logprobs:
            return chunk + _AFTER
        logprobs = on_one_line(_encode(self._logprobs[index].of(piece.logprobs)))
        return chunk + b',"logprobs":%b,"finish_reason":null}]}\n\n' % logprobs

    def done(self, index: int, done: Done) -> bytes:
        """Return the end of a choice."""
        self._ends[index] = done
        logprobs = b"null"
        if done.logprobs:
            logprobs = on_one_line(_encode(self._logprobs[index].of(done.logprobs)))
        text = json_text(self._beginnings.pop(index, ""))
        reason = done.finish_reason.value.encode()
        after = b',"logprobs":%b,"finish_reason":"%b"}]}\n\n' % (logprobs, reason)
        return self._before[index] + text + after

    def last(self) -> bytes:
        """Return the usage, where it is wanted, and the word that ends the stream."""
        if not self._wants_usage:
            return DONE
        ends = [self._ends[index] for index in range(len(self._before))]
        usage = _encode(usage_of(ends, self._choices))
        return b'data: %b,"choices":[],"usage":%b}\n\n%b' % (self._common, usage, DONE)

    def failure(self, error: ModeldError, status: int) -> bytes:
        """Return the error as the last event."""
        return event(error_document(error, status))


class CompletionObject(WholeEncoder):
    """Writes one object when all is there."""

    media_type = JSON

    def __init__(
        self, call: Call, beginnings: Sequence[str], choices: int, *, logprobs: bool
    ) -> None:
        self._call = call
        self._beginnings = beginnings
        self._choices = choices
        self._logprobs = logprobs

    def whole(self, generations: Sequence[Done]) -> bytes:
        """Return the object."""
        choices = [
            {
                "index": index,
                "text": json_long_text(beginning + (done.reasoning or "") + (done.content or "")),
                "logprobs": CompletionLogprobs().of(done.logprobs) if self._logprobs else None,
                "finish_reason": done.finish_reason,
            }
            for index, (beginning, done) in enumerate(
                zip(self._beginnings, generations, strict=True)
            )
        ]
        return _encode(
            {
                **head(self._call, "cmpl", "text_completion"),
                "choices": choices,
                "usage": usage_of(generations, self._choices),
            }
        )

    def failure(self, error: ModeldError, status: int) -> bytes:
        """Return the error as an object."""
        return _encode(error_document(error, status))
