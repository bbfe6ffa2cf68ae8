# SPDX-License-Identifier: GPL-3.0-only
"""The rig's replies. A token is a byte; 256 is the special token that begins a text."""

import math

from modeld import Usage
from modeld.questions import (
    AnyQuestion,
    ApplyTemplateQuestion,
    DetokenizeQuestion,
    Embeddings,
    EmbedQuestion,
    Ranking,
    Reply,
    RerankQuestion,
    Text,
    TokenizeQuestion,
    Tokens,
)

BEGIN = 256
BEGIN_PIECE = b"<s>"


def to(question: AnyQuestion) -> Reply:
    """The reply, always the same to the same question."""
    match question:
        case EmbedQuestion(inputs=inputs, normalize=normalize):
            vectors = tuple(vector(text, normalize=normalize) for text in inputs)
            return Embeddings(vectors=vectors, usage=usage(*inputs))
        case RerankQuestion(query=query, documents=documents):
            scores = tuple(score(query, document) for document in documents)
            return Ranking(scores=scores, usage=usage(query, *documents))
        case TokenizeQuestion():
            return tokens(question)
        case DetokenizeQuestion(tokens=ids):
            return Text(text=b"".join(map(piece, ids)).decode(errors="replace"))
        case ApplyTemplateQuestion(messages=messages):
            return Text(text="".join(f"<{each.role}>{each.content}\n" for each in messages))


def tokens(question: TokenizeQuestion) -> Tokens:
    """A token for each byte."""
    encoded = question.text.encode()
    ids = (BEGIN,) * question.add_special + tuple(encoded)
    return Tokens(ids=ids, pieces=tuple(map(piece, ids)) if question.with_pieces else ())


def piece(token: int) -> bytes:
    """What it stands for."""
    return BEGIN_PIECE if token == BEGIN else bytes((token,))


def vector(text: str, *, normalize: bool) -> tuple[float, ...]:
    """Four numbers that are exact in single precision: bytes, words, vowels, 1."""
    raw = (len(text.encode()), len(text.split()), sum(text.count(vowel) for vowel in "aeiou"), 1)
    length = math.hypot(*raw) if normalize else 1.0
    return tuple(value / length for value in raw)


def score(query: str, document: str) -> float:
    """How many of the query's words are in the document."""
    return float(len(set(query.split()) & set(document.split())))


def many(vectors: int, dimensions: int) -> Embeddings:
    """As many vectors as the plan wants, all alike."""
    one = (0.5,) * dimensions
    return Embeddings(vectors=(one,) * vectors, usage=Usage(prompt_tokens=vectors))


def usage(*texts: str) -> Usage:
    """A token for each byte, none of them an answer's."""
    return Usage(prompt_tokens=sum(len(text.encode()) for text in texts))


STRAY: dict[str, Reply] = {
    "embeddings": many(1, 4),
    "ranking": Ranking(scores=(1.0,), usage=Usage()),
    "tokens": Tokens(ids=(1,), pieces=(b"x",)),
    "text": Text(text="stray"),
}
