# SPDX-License-Identifier: GPL-3.0-only
"""Writes the responses of ``POST /v1/chat/completions``: a stream of chunks, or one object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, assert_never

import msgspec

from modeld.dialects import JSON, Call, StreamEncoder, WholeEncoder
from modeld.errors import ModeldError
from modeld.responses import Done, Piece, ReasoningToken, Token, TokenLogprobs, ToolCallDelta
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
from modeld_openai.logprobs import ContentLogprobs, chat_logprobs
from modeld_openai.usage import usage_of

_AFTER: Final = b'},"logprobs":null,"finish_reason":null}]}\n\n'

_encode = msgspec.json.Encoder().encode


class ChatStream(StreamEncoder):
    """Writes chunks as they come: the role first, then deltas, the end, and the usage if wanted.

    What surrounds a text is the same for all chunks of a choice, and is written once.
    """

    media_type = EVENTS

    def __init__(self, call: Call, choices: int, *, wants_usage: bool) -> None:
        self._call = call
        self._choices = choices
        self._wants_usage = wants_usage
        self._begun: set[int] = set()
        self._usages: dict[int, Done] = {}
        self._content = [ContentLogprobs() for _ in range(choices)]
        common = json_line(head(call, "chatcmpl", "chat.completion.chunk"))[:-1]
        self._before = [
            b'data: %b,"choices":[{"index":%d,"delta":{' % (common, index)
            for index in range(choices)
        ]
        self._before_text = [before + b'"content":' for before in self._before]
        self._common = common

    def piece(self, index: int, piece: Piece) -> bytes:
        """Return a part of a choice as a chunk."""
        if type(piece) is Token and not piece.logprobs and index in self._begun:  # nearly all are
            return self._before_text[index] + json_text(piece.text) + _AFTER
        chunk = self._before[index] + self._delta(index, piece)
        if logprobs := self._content[index].of(piece):
            chunk += b'},"logprobs":%b,"finish_reason":null}]}\n\n' % _logprobs(logprobs)
        else:
            chunk += _AFTER
        return chunk if index in self._begun else self._begin(index) + chunk

    def done(self, index: int, done: Done) -> bytes:
        """Return the end of a choice as a chunk."""
        self._usages[index] = done
        chunk = b'%b},"logprobs":null,"finish_reason":"%b"}]}\n\n' % (
            self._before[index],
            done.finish_reason.value.encode(),
        )
        return chunk if index in self._begun else self._begin(index) + chunk

    def last(self) -> bytes:
        """Return the usage, where it is wanted, and the word that ends the stream."""
        if not self._wants_usage:
            return DONE
        ends = [self._usages[index] for index in range(self._choices)]
        usage = _encode(usage_of(ends, self._choices))
        return b'data: %b,"choices":[],"usage":%b}\n\n%b' % (self._common, usage, DONE)

    def failure(self, error: ModeldError, status: int) -> bytes:
        """Return the error as the last event."""
        return event(error_document(error, status))

    def _begin(self, index: int) -> bytes:
        self._begun.add(index)
        return self._before[index] + b'"role":"assistant","content":""' + _AFTER

    def _delta(self, index: int, piece: Piece) -> bytes:
        match piece:
            case Token(text=text):
                return b'"content":' + json_text(text)
            case ReasoningToken(text=text):
                return b'"reasoning_content":' + json_text(text)
            case ToolCallDelta():
                call = _encode(_call_delta(piece, self._call, index))
                return b'"tool_calls":[' + on_one_line(call) + b"]"
            case _:
                assert_never(piece)


class ChatObject(WholeEncoder):
    """Writes one object when all is there."""

    media_type = JSON

    def __init__(self, call: Call, choices: int, *, logprobs: bool) -> None:
        self._call = call
        self._wants_logprobs = logprobs
        self._content = [ContentLogprobs() for _ in range(choices)]
        self._logprobs: list[list[TokenLogprobs]] = [[] for _ in range(choices)]

    def note(self, index: int, piece: Piece) -> None:
        """Take note of how probable what is said was."""
        if self._wants_logprobs:
            self._logprobs[index] += self._content[index].of(piece)

    def whole(self, generations: Sequence[Done]) -> bytes:
        """Return the object."""
        choices = [self._choice(index, done) for index, done in enumerate(generations)]
        return _encode(
            {
                **head(self._call, "chatcmpl", "chat.completion"),
                "choices": choices,
                "usage": usage_of(generations, len(generations)),
            }
        )

    def _choice(self, index: int, done: Done) -> dict[str, object]:
        calls = [
            {
                "id": call.id or _made_id(self._call, index, number),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for number, call in enumerate(done.tool_calls or ())
        ]
        message: dict[str, object] = {
            "role": "assistant",
            "content": json_long_text(done.content or "") if done.content or not calls else None,
            "refusal": None,
        }
        if done.reasoning:
            message["reasoning_content"] = json_long_text(done.reasoning)
        if calls:
            message["tool_calls"] = calls
        return {
            "index": index,
            "message": message,
            "logprobs": chat_logprobs(self._logprobs[index]) if self._wants_logprobs else None,
            "finish_reason": done.finish_reason,
        }


def _logprobs(logprobs: Sequence[TokenLogprobs]) -> bytes:
    return on_one_line(_encode(chat_logprobs(logprobs)))


def _call_delta(part: ToolCallDelta, call: Call, index: int) -> dict[str, object]:
    """Return a part of a call; only its first one says which it is."""
    if not part.name:
        return {"index": part.index, "function": {"arguments": part.arguments}}
    return {
        "index": part.index,
        "id": part.id or _made_id(call, index, part.index),
        "type": "function",
        "function": {"name": part.name, "arguments": part.arguments},
    }


def _made_id(call: Call, index: int, number: int) -> str:
    """Return an id for a call to which the engine has given none."""
    return f"call_{call.request_id}_{index}_{number}"
