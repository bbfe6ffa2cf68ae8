# SPDX-License-Identifier: GPL-3.0-only
"""The JSON objects that modeld's own formats are made of, each on one line.

``{"token":"…"}`` for a token; ``{"done":true,"content":…,"finish_reason":…,"usage":{…}}`` at the
end; ``{"error":…,"code":503,"reason":"worker_crashed"}`` where something went wrong. The first two
have ``logprobs`` too, where the chunk has some.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import assert_never

import msgspec

from modeld import Chunk, Done, ModeldError, Token
from modeld.values import FinishReason, LikelyToken, TokenLogprobs, Value

LEAST_LOGPROB = -9999.0
"""What stands for a probability of 0, whose logarithm JSON cannot say."""

_Json = dict[str, object]

_encode = msgspec.json.Encoder().encode

# JSON escapes what ends a line in ASCII. These end one for many readers too (str.splitlines).
_LINE_ENDS = tuple(
    (character.encode(), rb"\u%04x" % ord(character)) for character in "\u0085\u2028\u2029"
)


class _Usage(Value, frozen=True, kw_only=True):
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    total_tokens: int


class _Done(Value, frozen=True, kw_only=True, omit_defaults=True):
    done: bool
    content: str
    finish_reason: FinishReason
    usage: _Usage
    logprobs: list[msgspec.Raw] = []


class _Failure(Value, frozen=True, kw_only=True, omit_defaults=True):
    error: str
    code: int
    reason: str
    field: str | None = None


def encode_chunk(chunk: Chunk) -> bytes:
    """One chunk as a JSON object without any line end in it."""
    match chunk:
        case Token(text=text) if not chunk.logprobs:
            line = b'{"token":' + _encode(text) + b"}"
            return line if text.isascii() else _on_one_line(line)
        case Token(text=text, logprobs=logprobs):
            return _on_one_line(_encode({"token": text, "logprobs": _listed(logprobs)}))
        case Done():
            return _on_one_line(_encode(_done(chunk)))
        case _:
            assert_never(chunk)


def encode_failure(error: ModeldError, status: int) -> bytes:
    """An error as a JSON object without any line end in it; ``status`` is the HTTP one."""
    failure = _Failure(error=error.message, code=status, reason=error.code, field=error.field)
    return _on_one_line(_encode(failure))


def _done(chunk: Done) -> _Done:
    usage = chunk.usage
    return _Done(
        done=True,
        content=chunk.content,
        finish_reason=chunk.finish_reason,
        usage=_Usage(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cached_tokens=usage.cached_tokens,
            total_tokens=usage.total_tokens,
        ),
        logprobs=_listed(chunk.logprobs),
    )


def _listed(logprobs: Iterable[TokenLogprobs]) -> list[msgspec.Raw]:
    """Each of them encoded alone: nothing else can run while one call encodes very many."""
    return [
        msgspec.Raw(
            _encode({**_likely(each.chosen), "top_logprobs": [_likely(top) for top in each.top]})
        )
        for each in logprobs
    ]


def _likely(token: LikelyToken) -> _Json:
    """A token; what is no logarithm of a probability counts as that of the least one."""
    logprob = min(0.0, token.logprob) if token.logprob > LEAST_LOGPROB else LEAST_LOGPROB
    text = token.piece.decode(errors="replace")
    return {"id": token.id, "token": text, "bytes": list(token.piece), "logprob": logprob}


def _on_one_line(line: bytes) -> bytes:
    if line.isascii():
        return line
    for character, escape in _LINE_ENDS:
        line = line.replace(character, escape)
    return line
