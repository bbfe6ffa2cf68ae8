# SPDX-License-Identifier: GPL-3.0-only
"""The rig's responses. A token is a byte; 256 is the special token that begins a text."""

import math

from modeld import Usage
from modeld.requests import (
    AnyUnaryRequest,
    ApplyTemplateRequest,
    DetokenizeRequest,
    EmbedRequest,
    RerankRequest,
    TokenizeRequest,
)
from modeld.responses import (
    AnyUnaryResponse,
    EmbedResponse,
    RerankResponse,
    TextResponse,
    TokenizeResponse,
)

BEGIN = 256
BEGIN_PIECE = b"<s>"


def to(request: AnyUnaryRequest) -> AnyUnaryResponse:
    """Return the response, always the same to the same request."""
    match request:
        case EmbedRequest(inputs=inputs, normalize=normalize):
            texts = tuple(map(read, inputs))
            vectors = tuple(vector(text, normalize=normalize) for text in texts)
            return EmbedResponse(vectors=vectors, usage=usage(*texts))
        case RerankRequest(query=query, documents=documents):
            scores = tuple(score(query, document) for document in documents)
            return RerankResponse(scores=scores, usage=usage(query, *documents))
        case TokenizeRequest():
            return tokens(request)
        case DetokenizeRequest(tokens=ids):
            return TextResponse(text=b"".join(map(piece, ids)).decode(errors="replace"))
        case ApplyTemplateRequest(messages=messages):
            return TextResponse(text="".join(f"<{each.role}>{each.content}\n" for each in messages))


def tokens(request: TokenizeRequest) -> TokenizeResponse:
    """Return a token for each byte."""
    encoded = request.text.encode()
    ids = (BEGIN,) * request.add_special + tuple(encoded)
    return TokenizeResponse(ids=ids, pieces=tuple(map(piece, ids)) if request.with_pieces else ())


def piece(token: int) -> bytes:
    """Return what it stands for."""
    return BEGIN_PIECE if token == BEGIN else bytes((token,))


def read(given: str | tuple[int, ...]) -> str:
    """Return an input as its text; what is no token stands for nothing."""
    if isinstance(given, str):
        return given
    return b"".join(piece(token) for token in given if token <= BEGIN).decode(errors="replace")


def vector(text: str, *, normalize: bool) -> tuple[float, ...]:
    """Four numbers that are exact in single precision: bytes, words, vowels, 1."""
    raw = (len(text.encode()), len(text.split()), sum(text.count(vowel) for vowel in "aeiou"), 1)
    length = math.hypot(*raw) if normalize else 1.0
    return tuple(value / length for value in raw)


def score(query: str, document: str) -> float:
    """Return how many of the query's words are in the document."""
    return float(len(set(query.split()) & set(document.split())))


def many(vectors: int, dimensions: int) -> EmbedResponse:
    """As many vectors as the plan wants, all alike."""
    one = (0.5,) * dimensions
    return EmbedResponse(vectors=(one,) * vectors, usage=Usage(prompt_tokens=vectors))


def usage(*texts: str) -> Usage:
    """Return a token for each byte, none of them generated."""
    return Usage(prompt_tokens=sum(len(text.encode()) for text in texts))


STRAY: dict[str, AnyUnaryResponse] = {
    "embeddings": many(1, 4),
    "ranking": RerankResponse(scores=(1.0,), usage=Usage()),
    "tokens": TokenizeResponse(ids=(1,), pieces=(b"x",)),
    "text": TextResponse(text="stray"),
}
