# SPDX-License-Identifier: GPL-3.0-only
"""How probable tokens were, from the forms in which servers say it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from modeld.dialects.logprobs import LEAST_LOGPROB
from modeld.responses import LikelyToken, TokenLogprobs
from modeld_upstream.wire.documents import LikelyDocument, LogprobsDocument

UNKNOWN_ID = -1
"""The id of a token where the server says its text only, as OpenAI's API does."""


def logprobs_of(document: LogprobsDocument, count: int) -> tuple[TokenLogprobs, ...]:
    """Return the tokens of a chunk, each with at most ``count`` likely ones in its stead."""
    if document.content is not None:
        return tuple(_of_chat(each, count) for each in document.content)
    return tuple(_of_completion(document, count))


def _of_chat(token: LikelyDocument, count: int) -> TokenLogprobs:
    top = tuple(map(_likely, (token.top_logprobs or ())[:count]))
    return TokenLogprobs(chosen=_likely(token), top=top)


def _likely(token: LikelyDocument) -> LikelyToken:
    said = token.bytes if token.bytes and max(token.bytes) < 256 and min(token.bytes) >= 0 else None
    return LikelyToken(
        id=UNKNOWN_ID if token.id is None else token.id,
        piece=token.token.encode() if said is None else bytes(said),
        logprob=_or_least(token.logprob),
    )


def _of_completion(document: LogprobsDocument, count: int) -> Iterator[TokenLogprobs]:
    chosen = document.token_logprobs or ()
    likely = document.top_logprobs or ()
    for index, text in enumerate(document.tokens or ()):
        logprob = chosen[index] if index < len(chosen) else None
        top = (likely[index] if index < len(likely) else None) or {}
        ranked = sorted(top.items(), key=lambda pair: -pair[1])
        yield TokenLogprobs(
            chosen=_text(text, logprob), top=tuple(_text(*pair) for pair in islice(ranked, count))
        )


def _text(text: str, logprob: float | None) -> LikelyToken:
    return LikelyToken(id=UNKNOWN_ID, piece=text.encode(), logprob=_or_least(logprob))


def _or_least(logprob: float | None) -> float:
    return LEAST_LOGPROB if logprob is None else logprob
