# SPDX-License-Identifier: GPL-3.0-only
"""The bodies of ``/v1/messages``, and the requests for the service that they mean."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from modeld.chats import ASSISTANT
from modeld.dialects import Call
from modeld.dialects.body import ModelRequest, Strict, refused, wrong
from modeld.dialects.constraint_fields import ConstraintFields
from modeld.dialects.sampling_fields import SamplingFields
from modeld.dialects.stop_fields import StopTexts
from modeld.messages import Message
from modeld.requests import ApplyTemplateRequest, GenerateRequest
from modeld_anthropic.headers import check_version
from modeld_anthropic.messages.blocks import CacheControl
from modeld_anthropic.messages.conversation import Conversation, System, chat_of
from modeld_anthropic.messages.thinking import (
    Effort,
    Thinking,
    ThinkingAdaptive,
    ThinkingOn,
    reasoning_of,
)
from modeld_anthropic.messages.tools import (
    JsonSchema,
    ToolChoiceField,
    Tools,
    choice_of,
    tools_of,
)

MAX_TOKENS = 2**31
MAX_USER_CHARACTERS = 4096


class JsonFormat(Strict):
    """A JSON schema that the response conforms to."""

    type: Literal["json_schema"]
    json_schema: JsonSchema = Field(alias="schema")


class OutputConfig(Strict):
    """How the response is to be."""

    effort: Effort | None = Field(None, description="for models whose template knows such a word")
    format: JsonFormat | None = Field(None, description="a JSON schema, which is kept to")


class Metadata(Strict):
    """What a client says about itself, which changes nothing."""

    user_id: Annotated[str, Field(max_length=MAX_USER_CHARACTERS)] | None = None


class KeepThinking(Strict):
    """An edit that clears nothing."""

    type: Literal["clear_thinking_20251015"]
    keep: Literal["all"]


class ContextManagement(Strict):
    """What is cleared of a long conversation: nothing."""

    edits: Annotated[list[KeepThinking], Field(max_length=16, fail_fast=True)] | None = None


class ConversationBody(ModelRequest):
    """What both routes take. A field that is null counts as left out."""

    elsewhere = {
        "input": "it is called `messages` here",
        "instructions": "it is called `system` here",
        "max_completion_tokens": "it is called `max_tokens` here",
        "max_output_tokens": "it is called `max_tokens` here",
        "parallel_tool_calls": 'send `tool_choice`: {"type": "auto", "disable_parallel_tool_use":'
        " true}",
        "reasoning": "send `thinking`",
        "reasoning_effort": 'send `output_config`: {"effort": "…"}',
        "response_format": 'send `output_config`: {"format": {…}}',
        "stop": "it is called `stop_sequences` here",
        "think": "send `thinking`",
    }

    messages: Conversation = Field(description="the conversation, as a list of messages")
    system: System | None = Field(None, description="what the model is told before: text or blocks")
    tools: Tools | None = Field(None, description="functions that the model may call")
    tool_choice: ToolChoiceField | None = Field(
        None, description="the type `auto` (the default), `any`, `tool` or `none`"
    )
    thinking: Thinking | None = Field(
        None,
        description="the type `disabled` (the default), `enabled`, or `adaptive`: as the model's"
        " template has it",
    )
    output_config: OutputConfig | None = Field(
        None, description="`format`, a JSON schema that is kept to, and `effort` of thinking"
    )
    output_format: JsonFormat | None = Field(
        None, description="the older name of `output_config.format`"
    )
    cache_control: CacheControl | None = Field(None, description="taken and without effect")
    context_management: ContextManagement | None = Field(
        None, description="only edits that clear nothing"
    )
    mcp_servers: Annotated[list[Any], Field(max_length=0)] | None = Field(
        None, description="only an empty list: no other server is asked"
    )
    speed: Literal["standard"] | None = Field(None, description="only `standard`")
    user_profile_id: Annotated[None, refused("is not served: there are no profiles")] = None
    chat_template_kwargs: dict[str, Any] | None = Field(
        None, description="variables for the model's chat template"
    )

    def chat_members(self, call: Call) -> dict[str, Any]:
        """Return what goes with the chat in all requests for the service.

        Raises:
            InvalidRequestError: two fields contradict each other, or a message cannot be so.
        """
        check_version(call)
        self._check_choice()
        chat = self._chat()
        return {
            **self.common_members(call.request_id),
            "messages": chat,
            "continue_last": chat[-1].role == ASSISTANT,
            "tools": tools_of(self.tools or ()),
            "reasoning": reasoning_of(
                self.thinking, None if self.output_config is None else self.output_config.effort
            ),
            "template_kwargs": self.chat_template_kwargs or {},
        }

    def _chat(self) -> tuple[Message, ...]:
        thinks = isinstance(self.thinking, ThinkingOn | ThinkingAdaptive)
        chat = chat_of(self.system, self.messages, with_thinking=thinks)
        if not chat or (len(chat) == 1 and chat[0].role == "system"):
            raise wrong("messages", "must have a content in one of them")
        if chat[-1].tool_calls:
            raise wrong("messages", "must go on with a tool_result after the last tool_use")
        return chat

    def _check_choice(self) -> None:
        choice = self.tool_choice
        if choice is not None and (choice.type == "tool") is not (choice.name is not None):
            words = "must be given" if choice.type == "tool" else "is for the type tool only"
            raise wrong("tool_choice.name", words)


class MessagesBody(ConstraintFields, SamplingFields, ConversationBody):
    """A request for the next message."""

    max_tokens: int = Field(ge=1, le=MAX_TOKENS, description="longest generation, with thinking")
    stop_sequences: StopTexts | None = Field(
        None, description="texts that end the generation and are not part of it"
    )
    stream: bool | None = Field(
        None, description="true sends events as they come; false (the default) one object"
    )
    metadata: Metadata | None = Field(None, description="taken and without effect")
    service_tier: Literal["auto", "standard_only"] | None = Field(
        None, description="taken and without effect"
    )
    inference_geo: Annotated[None, refused("is not served: there is this machine only")] = None
    container: Annotated[None, refused("is not served: no code is run")] = None
    compaction: Annotated[None, refused("is not served: send what is left of it")] = None
    thread: Annotated[None, refused("is not served: send the whole conversation")] = None
    fallbacks: Annotated[None, refused("is not served: each request has one model")] = None
    diagnostics: Annotated[None, refused("is not served")] = None

    def request(self, call: Call) -> GenerateRequest:
        """Return the request for the service.

        Raises:
            InvalidRequestError: two fields contradict each other, or a message cannot be so.
        """
        choice = self.tool_choice
        return GenerateRequest(
            **self.chat_members(call),
            **self.constraint_members(),
            tool_choice=choice_of(choice, has_tools=bool(self.tools)),
            parallel_tool_calls=choice is None or choice.disable_parallel_tool_use is not True,
            max_tokens=self.max_tokens,
            stop=tuple(self.stop_sequences or ()),
            sampling=self.to_sampling(),
            json_schema=self._schema(),
        )

    def _schema(self) -> dict[str, Any] | None:
        newer = None if self.output_config is None else self.output_config.format
        if newer is not None and self.output_format is not None:
            raise wrong("output_format", "is there beside output_config.format; send one of them")
        form = newer or self.output_format
        return None if form is None else form.json_schema

    @property
    def shows_thinking(self) -> bool:
        """Return whether the response has what the model thought in plain text."""
        thinking = self.thinking
        return not isinstance(thinking, ThinkingOn | ThinkingAdaptive) or (
            thinking.display != "omitted"
        )


class CountTokensBody(ConversationBody):
    """A request for how many tokens a conversation has."""

    def request(self, call: Call) -> ApplyTemplateRequest:
        """Return the request for the prompt that the model's template makes of it.

        Raises:
            InvalidRequestError: two fields contradict each other, or a message cannot be so.
        """
        members = self.chat_members(call)
        if self.tool_choice is not None and self.tool_choice.type == "none":
            members["tools"] = ()
        return ApplyTemplateRequest(**members)
