# SPDX-License-Identifier: GPL-3.0-only
"""Writes generations: a line of JSON for each piece, or one object when all is there.

``/api/chat`` and ``/api/generate`` differ in where a text stands, which a :class:`Shape` says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, assert_never

import msgspec

from modeld.dialects import JSON, Call, StreamEncoder, WholeEncoder
from modeld.dialects.json_text import json_line, json_long_text, json_text
from modeld.dialects.logprobs import token_logprobs
from modeld.errors import ModeldError
from modeld.responses import Done, FinishReason, Piece, ReasoningToken, Token, ToolCallDelta, Usage
from modeld_ollama.text.calls import CallGatherer, written_calls
from modeld_ollama.timing import Stopwatch, now, now_as_bytes

NDJSON: Final = "application/x-ndjson"

_MORE: Final = b',"done":false}\n'


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Where the parts of a generation stand in an object: each is around what ``%b`` stands for.

    ``whole`` makes the members of one that has all parts.
    """

    text: bytes
    thinking: bytes
    calls: bytes
    whole: Callable[[dict[str, Any]], dict[str, Any]]


def _message(parts: dict[str, Any]) -> dict[str, Any]:
    return {"message": {"role": "assistant", **parts}}


def _response(parts: dict[str, Any]) -> dict[str, Any]:
    return {"response": parts.pop("content"), **parts}


CHAT: Final = Shape(
    text=b'"message":{"role":"assistant","content":%b}',
    thinking=b'"message":{"role":"assistant","content":"","thinking":%b}',
    calls=b'"message":{"role":"assistant","content":"","tool_calls":%b}',
    whole=_message,
)
GENERATE: Final = Shape(
    text=b'"response":%b',
    thinking=b'"response":"","thinking":%b',
    calls=b'"response":"","tool_calls":%b',
    whole=_response,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """What both encoders of one response know: the name of its model is the one that was sent."""

    shape: Shape
    call: Call
    model: str
    failure: Callable[[ModeldError], bytes]
    logprobs: bool = False


class OllamaStream(StreamEncoder):
    """Writes pieces as they come. A call of a tool is written once it is whole."""

    media_type = NDJSON

    def __init__(self, writing: Writing) -> None:
        self._writing = writing
        self._shape = writing.shape
        self._head = b'{"model":%b,"created_at":"' % json_text(writing.model)
        self._before_text, after = writing.shape.text.split(b"%b")
        self._after_text = after + _MORE
        self._stopwatch = Stopwatch(writing.call.begun_s)
        self._gatherer = CallGatherer()
        self._calls = 0

    def piece(self, index: int, piece: Piece) -> bytes:  # noqa: ARG002  (there is only one)
        """Return a part as a line."""
        self._stopwatch.note_piece()
        if type(piece) is Token and not piece.logprobs:  # nearly all are
            return b'%b%b",%b%b%b' % (
                self._head,
                now_as_bytes(),
                self._before_text,
                json_text(piece.text),
                self._after_text,
            )
        match piece:
            case Token(text=text):
                part = self._shape.text % json_text(text)
            case ReasoningToken(text=text):
                part = self._shape.thinking % json_text(text)
            case ToolCallDelta():
                return self._whole_calls(self._gatherer.add(piece))
            case _:
                assert_never(piece)
        if piece.logprobs:
            part += b',"logprobs":' + json_line(token_logprobs(piece.logprobs))
        return self._line(part) + _MORE

    def done(self, index: int, done: Done) -> bytes:  # noqa: ARG002
        """Return the last line, after a call that is not written yet."""
        end: dict[str, Any] = {"done": True, **ending(done, self._stopwatch)}
        if done.logprobs:
            end = {"logprobs": token_logprobs(done.logprobs), **end}
        members = json_line(end)[1:]
        cut = done.finish_reason.is_cut
        calls = self._whole_calls(self._gatherer.end(), cut=cut)
        return calls + self._line(self._shape.text % b'""') + b"," + members + b"\n"

    def failure(self, error: ModeldError, status: int) -> bytes:  # noqa: ARG002
        """Return the error as the last line."""
        return self._writing.failure(error) + b"\n"

    def _whole_calls(self, calls: Sequence[Any], *, cut: bool = False) -> bytes:
        written = written_calls(calls, self._writing.call, self._calls, cut=cut)
        self._calls += len(calls)
        if not written:
            return b""
        return self._line(self._shape.calls % json_line(written)) + _MORE

    def _line(self, part: bytes) -> bytes:
        return b'%b%b",%b' % (self._head, now_as_bytes(), part)


class OllamaObject(WholeEncoder):
    """Writes one object when all is there."""

    media_type = JSON

    def __init__(self, writing: Writing) -> None:
        self._writing = writing
        self._stopwatch = Stopwatch(writing.call.begun_s)

    def note(self, index: int, piece: Piece) -> None:  # noqa: ARG002
        """Take note of when the first piece comes."""
        self._stopwatch.note_piece()

    def whole(self, generations: Sequence[Done]) -> bytes:
        """Return the object."""
        (done,) = generations
        writing = self._writing
        parts: dict[str, Any] = {"content": json_long_text(done.content or "")}
        if done.reasoning:
            parts["thinking"] = json_long_text(done.reasoning)
        cut = done.finish_reason.is_cut
        if calls := written_calls(done.tool_calls or (), writing.call, cut=cut):
            parts["tool_calls"] = calls
        document = {
            "model": writing.model,
            "created_at": now(),
            **writing.shape.whole(parts),
            "done": True,
            **ending(done, self._stopwatch),
        }
        if writing.logprobs:
            document["logprobs"] = token_logprobs(done.logprobs)
        return msgspec.json.encode(document)


def ending(done: Done, stopwatch: Stopwatch) -> dict[str, Any]:
    """Return why a generation has ended, how long it took and what it cost."""
    calls = done.finish_reason is FinishReason.TOOL_CALLS  # Ollama has no word for it
    reason = FinishReason.STOP if calls else done.finish_reason
    return {"done_reason": reason, **_costs(done.usage, stopwatch)}


def _costs(usage: Usage, stopwatch: Stopwatch) -> dict[str, Any]:
    counts = {"prompt_eval_count": usage.prompt_tokens, "eval_count": usage.completion_tokens}
    fit = {"fit": usage.fit} if usage.fit else {}
    return {**stopwatch.durations(usage.load_s), **counts, **fit}
