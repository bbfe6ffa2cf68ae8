# SPDX-License-Identifier: GPL-3.0-only
"""The body of ``POST /v1/responses``, and the request for the service that it means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from modeld.dialects.body import OnlyFalse, Strict, refused, wrong
from modeld.messages import Message, Reasoning
from modeld.requests import GenerateRequest
from modeld_openai.chat.body import Effort, Metadata, TokenCount, reasoning_of
from modeld_openai.fields import MAX_LOGPROBS, MAX_TOKENS, Label, TextBody
from modeld_openai.responses.reading.conversation import messages_of
from modeld_openai.responses.reading.input_items import ItemId, ResponseInput
from modeld_openai.responses.reading.tools import (
    Choice,
    FunctionTools,
    TextConfig,
    choice_of,
    schema_of,
    tools_of,
)


class ReasoningConfig(Strict):
    """How much the model thinks."""

    effort: Effort | None = Field(
        None, description="how much the model thinks before it answers; `none` turns it off"
    )
    summary: Annotated[None, refused("is not served: thoughts are sent whole")] = None
    generate_summary: Annotated[None, refused("is not served: thoughts are sent whole")] = None


class ResponseStreamOptions(Strict):
    """What a stream has beyond its events."""

    include_obfuscation: OnlyFalse | None = Field(None, description="only false: nothing is padded")


class ResponsesBody(TextBody):
    """A request for the next turn of a chat, which may be kept and gone on from."""

    elsewhere = {
        "logprobs": 'send `include`: ["message.output_text.logprobs"]',
        "max_completion_tokens": "it is called `max_output_tokens` here",
        "max_tokens": "it is called `max_output_tokens` here",
        "messages": "it is called `input` here",
        "n": "a response is one; send several requests",
        "reasoning_effort": 'send `reasoning`: {"effort": "…"}',
        "response_format": 'send `text`: {"format": {…}}',
        "stop_sequences": "it is called `stop` here",
        "system": "it is called `instructions` here",
        "thinking": 'send `reasoning`: {"effort": "…"}',
    }

    input: ResponseInput = Field(description="a text, or a list of items: messages, calls, results")
    instructions: str | None = Field(
        None, description="a system message before all; the next response does not take it over"
    )
    previous_response_id: ItemId | None = Field(
        None, description="goes on from a stored response, with all that it went on from"
    )
    store: bool | None = Field(
        None, description="true (the default) keeps the response in memory for a while"
    )
    max_output_tokens: TokenCount | None = Field(
        None,
        description="longest generation, thoughts included; without it what the context has room"
        " for",
    )
    include: (
        Annotated[list[Literal["message.output_text.logprobs"]], Field(max_length=16)] | None
    ) = Field(
        None, description="`message.output_text.logprobs` sends the probability of each token"
    )
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_LOGPROBS)] | None = Field(
        None, description="so many of the likeliest tokens too, where `include` has logprobs"
    )
    text: TextConfig | None = Field(
        None, description="`format`: `text`, `json_object` or a `json_schema`, which is kept to"
    )
    reasoning: ReasoningConfig | None = Field(
        None, description="`effort`: how much the model thinks; `none` turns it off"
    )
    tools: FunctionTools | None = Field(None, description="functions that the model may call")
    tool_choice: Choice | None = Field(
        None,
        description="`none`, `auto` (the default) or `required`; one function, or `allowed_tools`",
    )
    parallel_tool_calls: bool | None = Field(
        None, description="false makes the model call one tool at a time; true is the default"
    )
    reasoning_budget_tokens: Annotated[int, Field(ge=0, le=MAX_TOKENS)] | None = Field(
        None, description="the most that thinking may take"
    )
    chat_template_kwargs: dict[str, Any] | None = Field(
        None, description="variables for the model's chat template"
    )
    metadata: Metadata | None = Field(None, description="kept with the response and sent with it")
    user: Label | None = Field(None, description="kept with the response and sent with it")
    stream_options: ResponseStreamOptions | None = Field(
        None, description="`include_obfuscation`, which may only be false; only with `stream`"
    )
    truncation: Literal["disabled"] | None = Field(
        None, description="only disabled: what is too long is refused and never shortened"
    )
    background: OnlyFalse | None = Field(None, description="only false: responses are waited for")
    service_tier: Literal["auto", "default"] | None = Field(
        None, description="taken and without effect"
    )
    safety_identifier: Label | None = Field(None, description="taken and without effect")
    prompt_cache_key: Label | None = Field(
        None, description="taken and without effect; `cache_salt` keeps caches apart"
    )
    conversation: Annotated[None, refused("is not served; send `previous_response_id`")] = None
    prompt: Annotated[None, refused("is not served; send the text as `input`")] = None
    max_tool_calls: Annotated[
        None, refused("is not served: it is about tools that OpenAI's servers run")
    ] = None
    context_management: Annotated[None, refused("is not served")] = None
    moderation: Annotated[None, refused("is not served")] = None

    @property
    def is_stored(self) -> bool:
        """Return whether the response is kept."""
        return self.store is not False

    @property
    def wants_logprobs(self) -> bool:
        """Return whether the response says how probable its tokens were."""
        return bool(self.include)

    def messages(self, before: Sequence[Message]) -> tuple[Message, ...]:
        """Return the chat that goes on from ``before``, without the instructions.

        Raises:
            InvalidRequestError: a file in the input cannot be read.
        """
        return (*before, *messages_of(self.input))

    def request(self, messages: Sequence[Message], request_id: str) -> GenerateRequest:
        """Return the request for the next turn of a chat.

        Raises:
            InvalidRequestError: two fields contradict each other.
        """
        if self.stream_options is not None and self.stream is not True:
            raise wrong("stream_options", "is for streams; set `stream` to true")
        system = self.instructions
        instructions = () if system is None else (Message(role="system", content=system),)
        return GenerateRequest(
            **self.members(request_id),
            messages=(*instructions, *messages),
            tools=tools_of(self.tools or ()),
            tool_choice=choice_of(self.tool_choice, has_tools=bool(self.tools)),
            parallel_tool_calls=self.parallel_tool_calls is not False,
            reasoning=self._reasoning(),
            template_kwargs=self.chat_template_kwargs or {},
            max_tokens=self.max_output_tokens,
            json_schema=schema_of(self.text),
            logprobs=self._logprobs(),
        )

    def _reasoning(self) -> Reasoning:
        effort = None if self.reasoning is None else self.reasoning.effort
        return reasoning_of(effort, self.reasoning_budget_tokens)

    def _logprobs(self) -> int | None:
        if self.wants_logprobs:
            return self.top_logprobs or 0
        if self.top_logprobs:
            raise wrong("top_logprobs", "needs `include` to have message.output_text.logprobs")
        return None
