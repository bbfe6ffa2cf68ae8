# SPDX-License-Identifier: GPL-3.0-only
"""What the bodies of several requests have in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from modeld.values import Message

MAX_MESSAGES = 1024
MAX_TIMEOUT_S = 86_400.0


class Strict(BaseModel):
    """Base of request bodies: no conversions, no unknown fields, finite numbers only."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class ModelRequest(Strict):
    """Base of the requests that a model serves."""

    model: str | None = Field(
        None, max_length=512, description="id from GET /models; without it the default model"
    )
    timeout_s: float | None = Field(
        None, gt=0, le=MAX_TIMEOUT_S, description="longest time for the whole request, in seconds"
    )


class ChatMessage(Strict):
    """One turn of a chat."""

    role: str = Field(
        min_length=1, max_length=64, description="who speaks: system, user, assistant, tool …"
    )
    content: str = Field(description="what was said")


ChatMessages = Annotated[list[ChatMessage], Field(max_length=MAX_MESSAGES)]


def as_values(messages: Iterable[ChatMessage]) -> tuple[Message, ...]:
    """A chat as the service knows it."""
    return tuple(Message(role=m.role, content=m.content) for m in messages)


def listed(given: Any) -> Any:
    """A list of one text in place of the text alone."""
    return [given] if isinstance(given, str) else given


def one_or_list(text: dict[str, Any], **limits: int) -> WithJsonSchema:
    """The schema of what :func:`listed` takes; ``text`` is that of one, ``limits`` the list's."""
    return WithJsonSchema({"anyOf": [text, {"type": "array", "items": text, **limits}]})
