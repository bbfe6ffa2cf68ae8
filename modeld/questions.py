# SPDX-License-Identifier: GPL-3.0-only
"""What can be asked of a loaded model besides text, and the replies.

A question has one reply and is never streamed. Like all values these are plain data that can be
sent to another process or machine.
"""

from __future__ import annotations

from typing import TypeAlias

from modeld.values import Message, Usage, Value


class Question(Value, frozen=True, kw_only=True):
    """Base of all questions.

    ``model`` is a registry id; empty means the configured default. ``timeout_s`` bounds the whole
    request, waiting included. ``request_id`` names the request in logs and errors.
    """

    model: str = ""
    timeout_s: float | None = None
    request_id: str = ""


class EmbedQuestion(Question, frozen=True, kw_only=True, tag="embed"):
    """The vectors of some texts. ``normalize`` scales each of them to length 1."""

    inputs: tuple[str, ...]
    normalize: bool = True


class RerankQuestion(Question, frozen=True, kw_only=True, tag="rerank"):
    """How relevant each document is for the query."""

    query: str
    documents: tuple[str, ...]


class TokenizeQuestion(Question, frozen=True, kw_only=True, tag="tokenize"):
    """The tokens of a text.

    ``add_special`` puts those around it that the model was trained to see around a text;
    ``parse_special`` reads special tokens that are written out in it as such. ``with_pieces`` asks
    for the bytes of each token too.
    """

    text: str
    add_special: bool = True
    parse_special: bool = True
    with_pieces: bool = False


class DetokenizeQuestion(Question, frozen=True, kw_only=True, tag="detokenize"):
    """The text of some tokens, special ones written out."""

    tokens: tuple[int, ...]


class ApplyTemplateQuestion(Question, frozen=True, kw_only=True, tag="apply_template"):
    """The prompt that the model's chat template makes of a chat."""

    messages: tuple[Message, ...]


class Embeddings(Value, frozen=True, kw_only=True, tag="embeddings", array_like=True):
    """One vector for each input, in their order, all of the same length, in single precision."""

    vectors: tuple[tuple[float, ...], ...]
    usage: Usage


class Ranking(Value, frozen=True, kw_only=True, tag="ranking", array_like=True):
    """One score for each document, in their order; higher is more relevant. The scale is the
    model's own."""

    scores: tuple[float, ...]
    usage: Usage


class Tokens(Value, frozen=True, kw_only=True, tag="tokens", array_like=True):
    """Tokens and, where that was asked for, the bytes that each of them stands for."""

    ids: tuple[int, ...]
    pieces: tuple[bytes, ...] = ()


class Text(Value, frozen=True, kw_only=True, tag="text", array_like=True):
    """A text."""

    text: str


AnyQuestion: TypeAlias = (
    EmbedQuestion | RerankQuestion | TokenizeQuestion | DetokenizeQuestion | ApplyTemplateQuestion
)
Reply: TypeAlias = Embeddings | Ranking | Tokens | Text
