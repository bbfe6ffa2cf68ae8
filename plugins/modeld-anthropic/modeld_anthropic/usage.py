# SPDX-License-Identifier: GPL-3.0-only
"""What a response cost, in tokens."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, Field

from modeld.responses import Usage


class AnthropicOutputDetails(BaseModel):
    """What the tokens of the response were."""

    thinking_tokens: int = Field(description="tokens that were spent on thinking")


class AnthropicUsage(BaseModel):
    """What a response cost, in tokens."""

    input_tokens: int = Field(description="tokens of the prompt that were computed")
    cache_read_input_tokens: int = Field(description="tokens of the prompt that the cache had")
    cache_creation_input_tokens: int = Field(description="always 0: nothing costs more")
    output_tokens: int = Field(description="tokens of the response, those of thinking among them")
    output_tokens_details: AnthropicOutputDetails
    fit: str | None = Field(
        None,
        description="modeld's own: by which step the model was made to fit; absent where it is as"
        " configured",
    )


UNKNOWN: Final = Usage()
"""What a stream tells at its beginning, when nothing is counted yet."""


def usage_document(usage: Usage) -> dict[str, object]:
    """Return what a response cost."""
    return {
        "input_tokens": usage.prompt_tokens - usage.cached_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "cache_creation_input_tokens": 0,
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
        **({"fit": usage.fit} if usage.fit else {}),
    }
