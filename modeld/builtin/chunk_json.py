# SPDX-License-Identifier: GPL-3.0-only
"""The JSON objects that modeld's own formats are made of, each on one line.

``{"token":"…"}`` for a token, ``{"reasoning":"…"}`` for one of what the model thinks,
``{"tool_call":{"index":0,"id":…,"name":…,"arguments":"…"}}`` for a part of a call of a tool, of
which the later ones have no ``id`` and ``name``; ``{"done":true,"content":…,"finish_reason":…,
"usage":{…}}`` at the end, with ``reasoning`` and ``tool_calls`` where there were any, and with
``stop_text`` where one has ended it;
``{"error":…,"code":503,"reason":"worker_crashed"}`` where something went wrong. All but the last
have ``logprobs`` too, where the chunk has some.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import assert_never

import msgspec

from modeld import Chunk, Done, ModeldError, Token
from modeld.json_text import json_line, json_long_text, json_text
from modeld.responses import (
    FinishReason,
    LikelyToken,
    ReasoningToken,
    TokenLogprobs,
    ToolCallDelta,
)
from modeld.values import Value

LEAST_LOGPROB = -9999.0
"""What stands for a probability of 0, whose logarithm JSON cannot say."""

_Json = dict[str, object]

_encode = msgspec.json.Encoder().encode


class _Usage(Value, frozen=True, kw_only=True, omit_defaults=True):
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    total_tokens: int
    reasoning_tokens: int = 0
    fit: str = ""


class _Done(Value, frozen=True, kw_only=True, omit_defaults=True):
    done: bool
    content: msgspec.Raw | None = None
    finish_reason: FinishReason
    usage: _Usage
    logprobs: list[msgspec.Raw] = []
    reasoning: msgspec.Raw | None = None
    tool_calls: list[msgspec.Raw] = []
    stop_text: msgspec.Raw | None = None


class _Failure(Value, frozen=True, kw_only=True, omit_defaults=True):
    error: str
    code: int
    reason: str
    field: str | None = None


def encode_chunk(chunk: Chunk) -> bytes:
    """Return one chunk as a JSON object without any line end in it."""
    if type(chunk) is Token and not chunk.logprobs:  # nearly all are, and a match takes longer
        text = chunk.text
        # As `json_text` does it, whose call costs each token as much as the rest of this.
        return b'{"token":' + (_encode(text) if text.isascii() else json_text(text)) + b"}"
    match chunk:
        case Token(text=text, logprobs=logprobs):
            return json_line({"token": text} | _with(logprobs))
        case ReasoningToken(text=text, logprobs=logprobs):
            return json_line({"reasoning": text} | _with(logprobs))
        case ToolCallDelta():
            return json_line({"tool_call": _delta(chunk)} | _with(chunk.logprobs))
        case Done():
            return _encode(_done(chunk))
        case _:
            assert_never(chunk)


def encode_failure(error: ModeldError, status: int) -> bytes:
    """Return an error as a JSON object on one line; ``status`` is the HTTP one."""
    failure = _Failure(error=error.message, code=status, reason=error.code, field=error.field)
    return json_line(failure)


def _done(chunk: Done) -> _Done:
    usage = chunk.usage
    return _Done(
        done=True,
        content=None if chunk.content is None else json_long_text(chunk.content),
        finish_reason=chunk.finish_reason,
        usage=_Usage(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cached_tokens=usage.cached_tokens,
            total_tokens=usage.total_tokens,
            reasoning_tokens=usage.reasoning_tokens,
            fit=usage.fit,
        ),
        logprobs=_listed(chunk.logprobs),
        reasoning=json_long_text(chunk.reasoning) if chunk.reasoning else None,
        tool_calls=[msgspec.Raw(json_line(call)) for call in chunk.tool_calls or ()],
        stop_text=None if chunk.stop_text is None else json_long_text(chunk.stop_text),
    )


def _delta(part: ToolCallDelta) -> _Json:
    """Return a part of a call; only its first one says which it is."""
    which: _Json = {"id": part.id, "name": part.name} if part.name else {}
    return {"index": part.index} | which | {"arguments": part.arguments}


def _with(logprobs: Sequence[TokenLogprobs]) -> _Json:
    return {"logprobs": _listed(logprobs)} if logprobs else {}


def _listed(logprobs: Iterable[TokenLogprobs]) -> list[msgspec.Raw]:
    """Encode each of them alone: nothing else can run while one call encodes very many."""
    return [msgspec.Raw(json_line(_probable(each))) for each in logprobs]


def _probable(each: TokenLogprobs) -> _Json:
    return {**_likely(each.chosen), "top_logprobs": [_likely(top) for top in each.top]}


def _likely(token: LikelyToken) -> _Json:
    """Return a token as JSON has it.

    What is no logarithm of a probability counts as that of the least probable token.
    """
    logprob = min(0.0, token.logprob) if token.logprob > LEAST_LOGPROB else LEAST_LOGPROB
    text = token.piece.decode(errors="replace")
    return {"id": token.id, "token": text, "bytes": list(token.piece), "logprob": logprob}
