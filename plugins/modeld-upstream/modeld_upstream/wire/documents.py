# SPDX-License-Identifier: GPL-3.0-only
"""What servers respond, as far as it is read. What else they say is passed over."""

from __future__ import annotations

from typing import Any

import msgspec


class Received(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Base of what comes from a server. A member that is null counts as absent."""


class LikelyDocument(Received, frozen=True, kw_only=True, gc=False):
    """A token with its probability, and those that were likely in its stead."""

    token: str = ""
    logprob: float | None = None
    bytes: list[int] | None = None
    id: int | None = None
    top_logprobs: list[LikelyDocument] | None = None


class LogprobsDocument(Received, frozen=True, kw_only=True, gc=False):
    """Probabilities in the form of chats, or in that of completions."""

    content: list[LikelyDocument] | None = None
    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float] | None] | None = None


class FunctionDocument(Received, frozen=True, kw_only=True, gc=False):
    """What is called, or a part of it."""

    name: str | None = None
    arguments: str | None = None


class CallDocument(Received, frozen=True, kw_only=True, gc=False):
    """A part of a call of a tool."""

    index: int | None = None
    id: str | None = None
    function: FunctionDocument | None = None


class DeltaDocument(Received, frozen=True, kw_only=True, gc=False):
    """A part of a turn. Servers have two names for reasoning."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: list[CallDocument] | None = None


class ChoiceDocument(Received, frozen=True, kw_only=True, gc=False):
    """A part of a generation: ``delta`` of a chat, ``text`` of a prompt."""

    delta: DeltaDocument | None = None
    text: str | None = None
    logprobs: LogprobsDocument | None = None
    finish_reason: str | None = None
    stop_reason: str | int | None = None


class PromptDetails(Received, frozen=True, kw_only=True, gc=False):
    """What a prompt's tokens were."""

    cached_tokens: int | None = None


class CompletionDetails(Received, frozen=True, kw_only=True, gc=False):
    """What the tokens of a generation were."""

    reasoning_tokens: int | None = None


class UsageDocument(Received, frozen=True, kw_only=True, gc=False):
    """What it cost, in tokens."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None


class ChunkDocument(Received, frozen=True, kw_only=True, gc=False):
    """One event of a stream. ``error`` is whatever a server says of a failure."""

    choices: list[ChoiceDocument] | None = None
    usage: UsageDocument | None = None
    error: Any = None


class ModelDocument(Received, frozen=True, kw_only=True, gc=False):
    """A model that a server lists.

    vLLM says how many tokens a request may have. What may be asked for is a list of another
    modeld's; other servers mean something else by that word.
    """

    id: str
    max_model_len: int | None = None
    capabilities: Any = None


class ModelListDocument(Received, frozen=True, kw_only=True, gc=False):
    """All models of a server."""

    data: list[ModelDocument]


class EmbeddingDocument(Received, frozen=True, kw_only=True, gc=False):
    """The vector of one input."""

    index: int
    embedding: list[float]


class EmbeddingsDocument(Received, frozen=True, kw_only=True, gc=False):
    """The vectors of all inputs."""

    data: list[EmbeddingDocument]
    usage: UsageDocument | None = None


class RankDocument(Received, frozen=True, kw_only=True, gc=False):
    """How relevant one document is."""

    index: int
    relevance_score: float


class RanksDocument(Received, frozen=True, kw_only=True, gc=False):
    """How relevant all documents are."""

    results: list[RankDocument]
    usage: UsageDocument | None = None


class PieceDocument(Received, frozen=True, kw_only=True, gc=False):
    """A token with its bytes: a text, or numbers where it is no whole character."""

    id: int
    piece: str | list[int]


class TokensDocument(Received, frozen=True, kw_only=True, gc=False):
    """The tokens of a text."""

    tokens: list[int | PieceDocument]


class TextDocument(Received, frozen=True, kw_only=True, gc=False):
    """A text, by either of the names that servers have for it."""

    content: str | None = None
    prompt: str | None = None
