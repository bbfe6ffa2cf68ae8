# SPDX-License-Identifier: GPL-3.0-only
"""What ``POST /infer`` answers in modeld's own formats, as the API's description has it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

from modeld.httpapi.problems import ErrorBody
from modeld.values import FinishReason


class LikelyTokenItem(BaseModel):
    """A token and how probable it was before any sampler changed that."""

    id: int
    token: str = Field(description="its text, with U+FFFD for what is no whole character")
    bytes: list[int] = Field(description="the bytes that it stands for")
    logprob: float = Field(description="natural logarithm of its probability; -9999 at the least")


class TokenLogprobsItem(LikelyTokenItem):
    """A token that was chosen."""

    top_logprobs: list[LikelyTokenItem] = Field(description="the likeliest tokens in its place")


class TokenLine(BaseModel):
    """A piece of the answer."""

    token: str = Field(description="whole characters; never empty")
    logprobs: list[TokenLogprobsItem] | None = Field(
        None, description="of the tokens that end with this piece; absent unless asked for"
    )


class UsageNumbers(BaseModel):
    """What the request cost, in tokens."""

    prompt_tokens: int
    completion_tokens: int = Field(description="tokens that were chosen for the answer")
    total_tokens: int = Field(description="prompt and completion together")
    cached_tokens: int = Field(description="tokens of the prompt that were not computed again")


class DoneLine(BaseModel):
    """The end of an answer that went well."""

    done: Literal[True]
    content: str = Field(description="the whole answer")
    finish_reason: FinishReason = Field(
        description="stop: the model or a stop text ended it; length: max_tokens or the context did"
    )
    usage: UsageNumbers
    logprobs: list[TokenLogprobsItem] | None = Field(
        None, description="of all tokens that no line before had; absent unless asked for"
    )


def _one_of(schema: dict[str, Any]) -> None:
    schema["oneOf"] = schema.pop("anyOf")


class StreamLine(RootModel[TokenLine | DoneLine | ErrorBody]):
    """One object of a streamed answer: a piece of it, its end, or what went wrong half-way."""

    model_config = ConfigDict(json_schema_extra=_one_of)
