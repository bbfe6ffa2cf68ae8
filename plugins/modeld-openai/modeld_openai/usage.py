# SPDX-License-Identifier: GPL-3.0-only
"""What a response cost, in tokens."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, Field

from modeld.responses import Done, Usage


class OpenAIPromptDetails(BaseModel):
    """What the prompt's tokens were."""

    cached_tokens: int = Field(description="tokens of the prompt that were not computed again")


class OpenAICompletionDetails(BaseModel):
    """What the tokens of the generations were."""

    reasoning_tokens: int = Field(description="tokens that were spent on thinking")


class OpenAIUsage(BaseModel):
    """What a response cost, in tokens."""

    prompt_tokens: int = Field(description="tokens of the prompts, each counted once")
    completion_tokens: int = Field(description="tokens of all choices")
    total_tokens: int = Field(description="prompt and completion together")
    prompt_tokens_details: OpenAIPromptDetails
    completion_tokens_details: OpenAICompletionDetails
    fit: str | None = Field(
        None,
        description="modeld's own: by which step the model was made to fit; absent where it is as"
        " configured",
    )


def usage_of(ends: Sequence[Done], choices: int) -> dict[str, object]:
    """Return what all generations cost; each ``choices`` of them in a row share one prompt."""
    return usage_document([end.usage for end in ends], choices)


def usage_document(usages: Sequence[Usage], choices: int = 1) -> dict[str, object]:
    """Return the same for what each generation cost."""
    prompts = usages[::choices]
    prompt_tokens = sum(each.prompt_tokens for each in prompts)
    completion_tokens = sum(each.completion_tokens for each in usages)
    fit = usages[0].fit if usages else ""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": sum(each.cached_tokens for each in prompts)},
        "completion_tokens_details": {
            "reasoning_tokens": sum(each.reasoning_tokens for each in usages)
        },
        **({"fit": fit} if fit else {}),
    }
