# SPDX-License-Identifier: GPL-3.0-only
"""Responses: the chunks of a generation, and what unary requests return."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final, TypeAlias

from modeld.error_kinds import OwnKind
from modeld.errors import ModeldError, own_kind
from modeld.messages import ToolCall
from modeld.requests import (
    AnyUnaryRequest,
    ApplyTemplateRequest,
    DetokenizeRequest,
    EmbedRequest,
    RerankRequest,
    TokenizeRequest,
)
from modeld.status import PlanOutcome
from modeld.values import Value


class FinishReason(StrEnum):
    """Why a generation ended well; a filter that has cut it off is a server's behind a backend."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALLS = "tool_calls"
    CONTENT_FILTER = "content_filter"

    @property
    def is_cut(self) -> bool:
        """Return whether the model had more to say."""
        return self in (FinishReason.LENGTH, FinishReason.CONTENT_FILTER)


class Usage(Value, frozen=True, kw_only=True):
    """How many tokens a request cost, and how long it has waited for its model to be loaded.

    ``cached_tokens`` of the prompt's tokens were found in the engine's cache and not computed;
    ``reasoning_tokens`` of the completion's tokens were spent on thinking. The service fills in
    ``load_s``, whatever an engine says, and ``fit``: by which step the model was made to fit.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    load_s: float = 0.0
    fit: str = ""

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens


class LikelyToken(Value, frozen=True, kw_only=True, array_like=True, gc=False):
    """A token and the natural logarithm of its probability before any sampler changed it.

    ``piece`` is the token's bytes, which need not be whole characters.
    """

    id: int
    piece: bytes
    logprob: float


class TokenLogprobs(Value, frozen=True, kw_only=True, array_like=True, gc=False):
    """One chosen token and the likeliest tokens at its position, the likeliest first."""

    chosen: LikelyToken
    top: tuple[LikelyToken, ...] = ()


class Token(Value, frozen=True, kw_only=True, tag="token", array_like=True, gc=False):
    """A piece of the text: whole characters, never empty.

    ``logprobs``, where the request wants them, are of the tokens that this text was made of or that
    were kept back before it; so a chunk may have several, or none.
    """

    text: str
    logprobs: tuple[TokenLogprobs, ...] = ()


class ReasoningToken(Value, frozen=True, kw_only=True, tag="reasoning", array_like=True, gc=False):
    """A piece of what the model thinks before it answers; otherwise like a :class:`Token`."""

    text: str
    logprobs: tuple[TokenLogprobs, ...] = ()


class ToolCallDelta(Value, frozen=True, kw_only=True, tag="tool_call", array_like=True, gc=False):
    """A part of one of a generation's tool calls, which are counted by ``index`` from 0.

    The first part of a call has its ``id`` and ``name``. The ``arguments`` of all parts together
    are an object as JSON text, or the beginning of one where the call was cut off.
    """

    index: int
    id: str = ""
    name: str = ""
    arguments: str = ""
    logprobs: tuple[TokenLogprobs, ...] = ()


class Mark(Value, frozen=True, kw_only=True, array_like=True):
    """Base of what a stream has beside the pieces of a generation."""


class Placed(Mark, frozen=True, kw_only=True, tag="placed", array_like=True):
    """How a request came to be served: told before its first piece, to who asks for it.

    ``placement`` is where it stood as it came, in the words of a plan. It has waited
    ``queue_wait_s`` for its slot, and ``load_s`` of that for the model's load. ``fit`` is by which
    step the model was made to fit; empty where it is as configured. ``host`` is who serves it in a
    cluster.
    """

    placement: PlanOutcome
    queue_wait_s: float
    load_s: float = 0.0
    fit: str = ""
    host: str = ""


class Done(Mark, frozen=True, kw_only=True, tag="done", array_like=True):
    """The end of a generation that went well; always the last chunk.

    An engine leaves ``content``, ``reasoning`` and ``tool_calls`` empty; the service fills in what
    the chunks before had, or ``None`` for a text of more than 1,048,576 characters, for which its
    tokens must do. ``logprobs`` are those that came after the last text; the others came with their
    tokens. ``stop_text`` is the one of the request's stop texts that has ended it, if one has.
    """

    finish_reason: FinishReason
    usage: Usage
    content: str | None = ""
    logprobs: tuple[TokenLogprobs, ...] = ()
    reasoning: str | None = ""
    tool_calls: tuple[ToolCall, ...] | None = ()
    stop_text: str | None = None


class Failed(Value, frozen=True, kw_only=True, tag="failed", array_like=True):
    """The end of one request that an engine could not serve, as an error code and a message.

    ``own`` says what a plugin's own kind of error is.
    Only step engines yield it; everywhere else the same thing is an exception.
    """

    code: str
    message: str
    field: str | None = None
    own: OwnKind | None = None

    @classmethod
    def of(cls, error: ModeldError) -> Failed:
        """Return an error as what a step engine yields."""
        return cls(code=error.code, message=error.message, field=error.field, own=own_kind(error))


Piece: TypeAlias = Token | ReasoningToken | ToolCallDelta
"""A part of a generation, of which there may be any number before its end."""

PIECES: Final = (Token, ReasoningToken, ToolCallDelta)
"""The same for ``isinstance``, which takes a tuple in less time."""

TakePiece: TypeAlias = Callable[[Piece], bool]
"""Takes a piece at once and returns true, or leaves it to be yielded in its place in the order."""

Chunk: TypeAlias = Piece | Done
StepChunk: TypeAlias = Piece | Done | Failed


class EmbedResponse(Value, frozen=True, kw_only=True, tag="embeddings", array_like=True):
    """One vector for each input, in their order, all of the same length, in single precision."""

    vectors: tuple[tuple[float, ...], ...]
    usage: Usage


class RerankResponse(Value, frozen=True, kw_only=True, tag="ranking", array_like=True):
    """One score for each document, in their order; higher is more relevant. The scale is the
    model's own."""

    scores: tuple[float, ...]
    usage: Usage


class TokenizeResponse(Value, frozen=True, kw_only=True, tag="tokens", array_like=True):
    """Tokens and, where the request wants them, the bytes that each of them stands for."""

    ids: tuple[int, ...]
    pieces: tuple[bytes, ...] = ()


class TextResponse(Value, frozen=True, kw_only=True, tag="text", array_like=True):
    """A text."""

    text: str


AnyUnaryResponse: TypeAlias = EmbedResponse | RerankResponse | TokenizeResponse | TextResponse

RESPONSES: Final[Mapping[type[AnyUnaryRequest], type[AnyUnaryResponse]]] = {
    EmbedRequest: EmbedResponse,
    RerankRequest: RerankResponse,
    TokenizeRequest: TokenizeResponse,
    DetokenizeRequest: TextResponse,
    ApplyTemplateRequest: TextResponse,
}
"""The response that goes with each unary request."""
