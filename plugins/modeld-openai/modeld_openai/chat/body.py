# SPDX-License-Identifier: GPL-3.0-only
"""The body of ``POST /v1/chat/completions``, and the requests for the service that it means."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from modeld.dialects import Call
from modeld.dialects.body import OnlyFalse, refused, wrong
from modeld.messages import Reasoning
from modeld.requests import GenerateRequest
from modeld_openai.chat.messages import ChatTurns, messages_of
from modeld_openai.chat.tools import (
    Choice,
    NamedTool,
    ResponseFormat,
    Tools,
    choice_of,
    schema_of,
    tools_of,
)
from modeld_openai.fields import (
    MAX_LOGPROBS,
    MAX_TOKENS,
    GenerationBody,
    Label,
    of_choices,
)

MAX_METADATA = 16

TokenCount = Annotated[int, Field(ge=1, le=MAX_TOKENS)]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Label], Field(max_length=MAX_METADATA)
]


class ChatCompletionBody(GenerationBody):
    """A request for the next turn of a chat."""

    elsewhere = {
        "format": "send `response_format`",
        "input": "it is called `messages` here",
        "instructions": "send a message of the role system",
        "json_schema": "send `response_format`",
        "max_output_tokens": "it is called `max_completion_tokens` here",
        "options": "its members stand beside `messages` here",
        "output_config": "send `response_format` and `reasoning_effort`",
        "previous_response_id": "only /v1/responses keeps chats; send the whole chat as `messages`",
        "prompt": "send `messages`, or the prompt to /v1/completions",
        "reasoning": "send `reasoning_effort`",
        "stop_sequences": "it is called `stop` here",
        "system": "send a message of the role system",
        "text": "send `response_format`",
        "think": "send `reasoning_effort`",
        "thinking": "send `reasoning_effort`",
    }

    messages: ChatTurns = Field(description="the chat, as a list of messages")
    max_completion_tokens: TokenCount | None = Field(
        None,
        description="longest generation; without it, and at most, what the context has room for",
    )
    max_tokens: TokenCount | None = Field(
        None, description="the older name of `max_completion_tokens`"
    )
    logprobs: bool | None = Field(None, description="true sends the probability of each token")
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_LOGPROBS)] | None = Field(
        None, description="with `logprobs`: so many of the likeliest tokens too"
    )
    response_format: ResponseFormat | None = Field(
        None, description="`text`, `json_object`, or a `json_schema`, which is always kept to"
    )
    tools: Tools | None = Field(None, description="functions that the model may call")
    tool_choice: Choice | None = Field(
        None,
        description="`none`, `auto` (the default) or `required`; one function, or `allowed_tools`",
    )
    parallel_tool_calls: bool | None = Field(
        None,
        description="false makes the model call one tool at a time; true is the default, unless"
        " `tool_choice` is one function",
    )
    reasoning_effort: Effort | None = Field(
        None, description="how much the model thinks before it answers; `none` turns it off"
    )
    reasoning_budget_tokens: Annotated[int, Field(ge=0, le=MAX_TOKENS)] | None = Field(
        None, description="the most that thinking may take"
    )
    chat_template_kwargs: dict[str, Any] | None = Field(
        None, description="variables for the model's chat template"
    )
    continue_final_message: bool | None = Field(
        None, description="true goes on with the last message, which is the model's own"
    )
    add_generation_prompt: bool | None = Field(
        None, description="the opposite of `continue_final_message`, which it must not contradict"
    )
    metadata: Metadata | None = Field(None, description="taken and without effect")
    service_tier: Literal["auto", "default"] | None = Field(
        None, description="taken and without effect"
    )
    store: OnlyFalse | None = Field(None, description="only false: nothing is stored")
    safety_identifier: Label | None = Field(None, description="taken and without effect")
    prompt_cache_key: Label | None = Field(
        None, description="taken and without effect; `cache_salt` keeps caches apart"
    )
    functions: Annotated[None, refused("is deprecated and not served; send `tools`")] = None
    function_call: Annotated[None, refused("is deprecated and not served; send `tool_choice`")] = (
        None
    )
    audio: Annotated[None, refused("is not served: responses are text")] = None
    modalities: Annotated[list[Literal["text"]], Field(min_length=1, max_length=1)] | None = Field(
        None, description="only text"
    )
    prediction: Annotated[None, refused("is not served")] = None
    verbosity: Annotated[None, refused("is not served")] = None
    web_search_options: Annotated[None, refused("is not served")] = None

    def requests(self, call: Call) -> list[GenerateRequest]:
        """Return a request for each choice.

        Raises:
            InvalidRequestError: two fields contradict each other, or a message cannot be so.
        """
        self.check_stream()
        request = GenerateRequest(
            **self.members(call.request_id),
            messages=messages_of(self.messages),
            continue_last=continues(self.continue_final_message, self.add_generation_prompt),
            tools=tools_of(self.tools or ()),
            tool_choice=choice_of(self.tool_choice, has_tools=bool(self.tools)),
            parallel_tool_calls=self._calls_several(),
            reasoning=reasoning_of(self.reasoning_effort, self.reasoning_budget_tokens),
            template_kwargs=self.chat_template_kwargs or {},
            max_tokens=self._max_tokens(),
            json_schema=schema_of(self.response_format),
            logprobs=self._logprobs(),
        )
        return of_choices(request, self.choices)

    def _calls_several(self) -> bool:
        """Return whether there may be several calls; one function by its name is called once."""
        if self.parallel_tool_calls is None:
            return not isinstance(self.tool_choice, NamedTool)
        return self.parallel_tool_calls

    def _max_tokens(self) -> int | None:
        newer, older = self.max_completion_tokens, self.max_tokens
        if newer is not None and older is not None and newer != older:
            raise wrong("max_tokens", "differs from max_completion_tokens; send one of them")
        return older if newer is None else newer

    def _logprobs(self) -> int | None:
        if self.logprobs is True:
            return self.top_logprobs or 0
        if self.top_logprobs is not None:
            raise wrong("top_logprobs", "needs logprobs to be true")
        return None


def reasoning_of(effort: Effort | None, budget_tokens: int | None) -> Reasoning:
    """Return how much the model thinks, as the service knows it."""
    match effort:
        case None:
            return Reasoning(budget_tokens=budget_tokens)
        case "none":
            return Reasoning(enabled=False, budget_tokens=budget_tokens)
        case _:
            return Reasoning(enabled=True, effort=effort, budget_tokens=budget_tokens)


def continues(last: bool | None, add_prompt: bool | None) -> bool:  # noqa: FBT001
    """Return whether a chat's last message is gone on with, as two opposite fields say.

    Raises:
        InvalidRequestError: they contradict each other.
    """
    if add_prompt is (last is True):
        raise wrong("add_generation_prompt", "must be the opposite of continue_final_message")
    return last is True
