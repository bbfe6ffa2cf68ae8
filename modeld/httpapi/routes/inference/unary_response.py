# SPDX-License-Identifier: GPL-3.0-only
"""The bodies of unary responses, and how the service's responses become those."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sized

from pydantic import BaseModel, Field

from modeld.errors import InternalError
from modeld.responses import Usage


class PromptUsage(BaseModel):
    """What the request cost, in tokens."""

    prompt_tokens: int
    total_tokens: int


class EmbedResponseBody(BaseModel):
    """One vector for each text, in their order."""

    model: str = Field(description="the model that has served the request")
    embeddings: list[list[float]] = Field(description="all of the same length")
    usage: PromptUsage


class RankedDocument(BaseModel):
    """One document."""

    index: int = Field(description="its index in the request, from 0")
    score: float = Field(description="how relevant it is, on the model's own scale")
    document: str | None = Field(None, description="its text; absent unless wanted")


class RerankResponseBody(BaseModel):
    """The documents, the most relevant first."""

    model: str = Field(description="the model that has served the request")
    results: list[RankedDocument]
    usage: PromptUsage


class TokenPiece(BaseModel):
    """A token and what it stands for."""

    id: int
    piece: str | list[int] = Field(description="its text; its bytes where they are no whole text")


class TokenizeResponseBody(BaseModel):
    """The tokens of a text."""

    tokens: list[int] | list[TokenPiece] = Field(description="ids; objects with with_pieces")


class DetokenizeResponseBody(BaseModel):
    """The text of some tokens."""

    content: str = Field(description="the text, with U+FFFD for what is no whole character")


class ApplyTemplateResponseBody(BaseModel):
    """What the model's chat template makes of a chat."""

    prompt: str = Field(description="a prompt for POST /infer")


def check_count(parts: Sized, wanted: Sized) -> None:
    """Refuse a response that is not about each part of the request.

    Raises:
        InternalError: one has more parts than the other.
    """
    if len(parts) != len(wanted):
        raise InternalError(f"the service has responded with {len(parts)} of {len(wanted)} parts")


def check_finite(numbers: Iterable[float]) -> None:
    """Refuse numbers that JSON cannot say.

    Raises:
        InternalError: one of them is infinite or no number.
    """
    if not all(map(math.isfinite, numbers)):
        raise InternalError("the service has responded with a number that is not finite")


def prompt_usage(usage: Usage) -> PromptUsage:
    """Return what a request cost, as its response has it."""
    return PromptUsage(prompt_tokens=usage.prompt_tokens, total_tokens=usage.total_tokens)


def text_or_bytes(piece: bytes) -> str | list[int]:
    """Return what a token stands for: a text, or bytes where they are none."""
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return list(piece)
