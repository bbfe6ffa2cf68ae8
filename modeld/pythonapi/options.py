# SPDX-License-Identifier: GPL-3.0-only
"""The keywords of the verbs, for type checkers.

They are the members of the requests and the sampling parameters that every engine knows; a test
holds them to these tables. A backend's own parameters are keywords too, which only a run can check.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypedDict

from modeld.messages import Message, Reasoning, Tool, ToolChoice
from modeld.requests import Sampling

Keep: TypeAlias = float | Literal["forever"]
"""How long a model stays in memory unused, in seconds."""

AnyMessage: TypeAlias = Message | Mapping[str, Any]
"""A turn of a chat, as a value or as the wire has it: ``{"role": "user", "content": "…"}``."""

AnyTool: TypeAlias = Tool | Mapping[str, Any]
"""A tool, as a value or as the wire has it: ``{"name": "…", "parameters": {…}}``."""


class RequestOptions(TypedDict, total=False):
    """What every request may say."""

    timeout_s: float | None
    keep_alive_s: Keep | None
    fit: bool
    request_id: str


class EmbedOptions(RequestOptions, total=False):
    """What a request for vectors may say beside its texts."""

    normalize: bool


class TokenizeOptions(RequestOptions, total=False):
    """What a request for tokens may say beside its text."""

    add_special: bool
    parse_special: bool
    with_pieces: bool


class SamplingOptions(TypedDict, total=False):
    """How the next token is chosen; ``sampling`` has the same as one value."""

    sampling: Sampling
    temperature: float | None
    top_p: float | None
    top_k: int | None
    min_p: float | None
    repeat_penalty: float | None
    presence_penalty: float | None
    frequency_penalty: float | None
    logit_bias: Mapping[int, float | None] | Sequence[tuple[int, float | None]]
    ignore_eos: bool
    seed: int | None


class TextOptions(RequestOptions, SamplingOptions, total=False):
    """What every request for text may say."""

    max_tokens: int | None
    stop: str | Sequence[str]
    grammar: str | None
    json_schema: Mapping[str, Any] | None
    regex: str | None
    lark: str | None
    choice: Sequence[str] | None
    logprobs: int | None
    cache_prompt: bool
    cache_salt: str


class GenerateOptions(TextOptions, total=False):
    """What a request for text may say beside its prompt."""

    suffix: str | None


class TemplateOptions(RequestOptions, total=False):
    """What goes with a chat wherever a model's chat template makes a prompt of it."""

    tools: Sequence[AnyTool]
    reasoning: bool | Reasoning | Mapping[str, Any] | None
    template_kwargs: Mapping[str, Any] | None
    continue_last: bool


class ChatOptions(TextOptions, TemplateOptions, total=False):
    """What a request for text may say beside its chat."""

    tool_choice: Literal["auto", "none", "required"] | ToolChoice | Mapping[str, Any] | None
    parallel_tool_calls: bool
