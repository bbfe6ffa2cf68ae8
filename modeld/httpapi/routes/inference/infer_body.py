# SPDX-License-Identifier: GPL-3.0-only
"""The body of ``POST /infer``, and the request to the service that it becomes."""

from __future__ import annotations

from itertools import combinations
from typing import Annotated, Any

from pydantic import ConfigDict, Field

from modeld.chats import NO_PROMPT, PROMPTS
from modeld.constraints import (
    FAULTS,
    MAX_CHOICES,
    MAX_GRAMMAR_BYTES,
    MAX_LARK_BYTES,
    MAX_REGEX_BYTES,
    fault_of_choice,
    fault_of_grammar,
    fault_of_lark,
    fault_of_many,
    fault_of_regex,
    fault_of_schema,
)
from modeld.dialects.body import ModelRequest, usable
from modeld.dialects.chat_fields import (
    ChatFields,
    ChatMessages,
    ToolChoiceField,
    as_values,
    tool_choice_of,
)
from modeld.dialects.sampling_fields import SamplingFields
from modeld.dialects.stop_fields import StopList
from modeld.dialects.token_fields import TokenIds
from modeld.errors import InvalidRequestError, PromptRequiredError
from modeld.requests import GenerateRequest

MAX_TOKENS = 2**31
MAX_LOGPROBS = 20
MAX_SALT_CHARACTERS = 256


_NOT_BLANK: dict[str, Any] = {"pattern": r"\S"}

Grammar = Annotated[
    str,
    Field(min_length=1, max_length=MAX_GRAMMAR_BYTES, json_schema_extra=_NOT_BLANK),
    usable(fault_of_grammar),
]
Lark = Annotated[
    str,
    Field(min_length=1, max_length=MAX_LARK_BYTES, json_schema_extra=_NOT_BLANK),
    usable(fault_of_lark),
]
Regex = Annotated[str, Field(min_length=1, max_length=MAX_REGEX_BYTES), usable(fault_of_regex)]
Choice = Annotated[
    list[Annotated[str, Field(min_length=1)]],
    Field(min_length=1, max_length=MAX_CHOICES, fail_fast=True),
    usable(fault_of_choice),
]
JsonSchema = Annotated[dict[str, Any], usable(fault_of_schema)]

_CONSTRAINT_TYPES = {
    "grammar": {"type": "string"},
    "json_schema": {"type": "object"},
    "regex": {"type": "string"},
    "lark": {"type": "string"},
    "choice": {"type": "array"},
}
_TEXT = {"type": "string"}
_SOME = {"type": "array", "minItems": 1}


def _given(**members: dict[str, Any]) -> dict[str, Any]:
    """Return a schema of bodies that have all of these members."""
    return {"properties": members, "required": list(members)}


_PAIRS: dict[str, Any] = {
    "oneOf": [
        {
            "anyOf": [
                _given(prompt={**_TEXT, "minLength": 1}),
                _given(prompt=_TEXT, suffix=_TEXT),
            ]
        },
        _given(prompt_tokens=_SOME),
        _given(messages=_SOME),
    ],
    "not": {
        "anyOf": [
            *(_given(**dict(pair)) for pair in combinations(_CONSTRAINT_TYPES.items(), 2)),
            _given(suffix=_TEXT, prompt_tokens=_SOME),
            _given(suffix=_TEXT, messages=_SOME),
        ]
    },
}
"""What :meth:`InferBody.to_generate_request` checks, as JSON Schema says it."""


class TextBody(ModelRequest):
    """What a text is asked for with, and when it is over."""

    prompt: str | None = Field(None, description="text to go on with; not together with messages")
    prompt_tokens: TokenIds | None = Field(
        None, description="ids of the tokens to go on with, to which nothing is added"
    )
    suffix: str | None = Field(
        None,
        min_length=1,
        description="text that follows: the generation is what stands between the prompt, which may"
        " then be empty, and this",
    )
    messages: ChatMessages | None = Field(
        None, description="a chat to go on with; not with a prompt"
    )
    stream: bool | None = Field(
        None, description="true (the default) sends tokens as they come, false one JSON object"
    )
    max_tokens: int | None = Field(
        None,
        ge=1,
        le=MAX_TOKENS,
        description="longest generation; without it, and at most, what the context has room for",
    )
    stop: StopList | None = Field(
        None, description="texts that end the generation and are not part of it: one or a list"
    )


class InferBody(SamplingFields, ChatFields, TextBody):
    """A request for text: a prompt, or messages for the model's chat template.

    A field that is left out or null has the model's own default.
    """

    model_config = ConfigDict(json_schema_extra=_PAIRS)
    elsewhere = {
        "chat_template_kwargs": "it is called `template_kwargs` here",
        "max_completion_tokens": "it is called `max_tokens` here",
        "max_output_tokens": "it is called `max_tokens` here",
        "options": "its members stand beside the prompt here",
        "reasoning_effort": 'send `reasoning`: {"effort": "…"}',
        "response_format": "send `json_schema`",
        "stop_sequences": "it is called `stop` here",
        "system": "send a message of the role system",
    }

    tool_choice: ToolChoiceField | None = Field(
        None, description="whether tools are called: auto (the default), none or required"
    )
    parallel_tool_calls: bool | None = Field(
        None, description="false makes the model call one tool at a time; true is the default"
    )
    grammar: Grammar | None = Field(
        None, description="GBNF grammar that the generation conforms to; one of the five at most"
    )
    json_schema: JsonSchema | None = Field(
        None, description="JSON schema that the generation conforms to; one of the five at most"
    )
    regex: Regex | None = Field(
        None,
        description="regular expression that the whole generation matches; one of the five at most",
    )
    lark: Lark | None = Field(
        None, description="Lark grammar that the generation conforms to; one of the five at most"
    )
    choice: Choice | None = Field(
        None, description="texts of which the generation is one; one of the five at most"
    )
    logprobs: int | None = Field(
        None,
        ge=0,
        le=MAX_LOGPROBS,
        description="send the probability of each token, and of this many likeliest ones",
    )
    cache_prompt: bool | None = Field(
        None, description="false neither takes parts of the prompt from the cache nor keeps them"
    )
    cache_salt: str | None = Field(
        None,
        max_length=MAX_SALT_CHARACTERS,
        description="only requests with the same text here share cached parts of their prompts",
    )

    def to_generate_request(self, request_id: str) -> GenerateRequest:
        """Return the same as a value for the service.

        Raises:
            PromptRequiredError: there is neither a prompt nor messages.
            InvalidRequestError: two fields are given that exclude each other.
        """
        self._check_pairs()
        return GenerateRequest(
            **self.common_members(request_id),
            prompt=self.prompt if self.suffix else self.prompt or None,
            suffix=self.suffix,
            prompt_tokens=tuple(self.prompt_tokens) if self.prompt_tokens else None,
            messages=as_values(self.messages) if self.messages else None,
            tool_choice=tool_choice_of(self.tool_choice),
            parallel_tool_calls=self.parallel_tool_calls is not False,
            **self.chat_members(),
            max_tokens=self.max_tokens,
            stop=tuple(self.stop or ()),
            sampling=self.to_sampling(),
            grammar=self.grammar,
            json_schema=self.json_schema,
            regex=self.regex,
            lark=self.lark,
            choice=None if self.choice is None else tuple(self.choice),
            logprobs=self.logprobs,
            cache_prompt=self.cache_prompt is not False,
            cache_salt=self.cache_salt or "",
        )

    def _check_pairs(self) -> None:
        prompts = {name: said for name in PROMPTS if (said := getattr(self, name))}
        if not prompts and not (self.suffix and self.prompt is not None):
            raise PromptRequiredError(NO_PROMPT, field="prompt")
        given = {name: said for name in FAULTS if (said := getattr(self, name)) is not None}
        if fault := fault_of_many(prompts) or fault_of_many(given):
            field, words = fault
            raise InvalidRequestError(f"{field}: {words}", field=field)
