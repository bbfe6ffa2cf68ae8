# SPDX-License-Identifier: GPL-3.0-only
"""The body of ``POST /infer``: what it may say, and the request for the service that it means."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from modeld.errors import InvalidRequestError, PromptRequiredError
from modeld.httpapi.constraint_limits import (
    MAX_GRAMMAR_BYTES,
    fault_of_grammar,
    fault_of_schema,
)
from modeld.httpapi.request_body import ChatMessages, ModelRequest, as_values, listed, one_or_list
from modeld.httpapi.sampling_fields import SamplingFields
from modeld.values import GenerateRequest

MAX_STOPS = 16
MAX_STOP_CHARACTERS = 256
MAX_TOKENS = 2**31
MAX_LOGPROBS = 20
MAX_SALT_CHARACTERS = 256

_STOP_SCHEMA = {"type": "string", "minLength": 1, "maxLength": MAX_STOP_CHARACTERS}

StopText = Annotated[str, Field(min_length=1, max_length=MAX_STOP_CHARACTERS)]
StopList = Annotated[
    list[StopText],
    Field(max_length=MAX_STOPS),
    BeforeValidator(listed),
    one_or_list(_STOP_SCHEMA, maxItems=MAX_STOPS),
]


def _usable_grammar(grammar: str) -> str:
    _refuse(fault_of_grammar(grammar))
    return grammar


def _usable_schema(schema: dict[str, Any]) -> dict[str, Any]:
    _refuse(fault_of_schema(schema))
    return schema


def _refuse(fault: str | None) -> None:
    if fault is not None:
        raise PydanticCustomError("unusable", "{fault}", {"fault": fault})


Grammar = Annotated[
    str,
    Field(min_length=1, max_length=MAX_GRAMMAR_BYTES, json_schema_extra={"pattern": r"\S"}),
    AfterValidator(_usable_grammar),
]
JsonSchema = Annotated[dict[str, Any], AfterValidator(_usable_schema)]


_PAIRS: dict[str, Any] = {
    "if": {"properties": {"prompt": {"type": "string", "minLength": 1}}, "required": ["prompt"]},
    "then": {"properties": {"messages": {"anyOf": [{"type": "null"}, {"maxItems": 0}]}}},
    "else": {
        "properties": {"messages": {"type": "array", "minItems": 1}},
        "required": ["messages"],
    },
    "not": {
        "properties": {"grammar": {"type": "string"}, "json_schema": {"type": "object"}},
        "required": ["grammar", "json_schema"],
    },
}
"""What :meth:`InferRequest.to_generate_request` checks, as JSON Schema says it."""


class TextRequest(ModelRequest):
    """What a text is asked for with, and when it is over."""

    prompt: str | None = Field(None, description="text to go on with; not together with messages")
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
        description="longest answer; without it, and at most, what the context has room for",
    )
    stop: StopList | None = Field(
        None, description="texts that end the answer and are not part of it: one or a list"
    )


class InferRequest(SamplingFields, TextRequest):
    """A request for text: a prompt, or messages for the model's chat template.

    A field that is left out or null has the model's own default.
    """

    model_config = ConfigDict(json_schema_extra=_PAIRS)

    grammar: Grammar | None = Field(
        None, description="GBNF grammar that the answer conforms to; not together with json_schema"
    )
    json_schema: JsonSchema | None = Field(
        None, description="JSON schema that the answer conforms to; not together with grammar"
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
        """The same as a value for the service.

        Raises:
            PromptRequiredError: there is nothing to answer to.
            InvalidRequestError: two fields are given that exclude each other.
        """
        self._check_pairs()
        return GenerateRequest(
            model=self.model or "",
            prompt=self.prompt or None,
            messages=as_values(self.messages) if self.messages else None,
            max_tokens=self.max_tokens,
            stop=tuple(self.stop or ()),
            sampling=self.to_sampling(),
            grammar=self.grammar,
            json_schema=self.json_schema,
            logprobs=self.logprobs,
            cache_prompt=self.cache_prompt is not False,
            cache_salt=self.cache_salt or "",
            timeout_s=self.timeout_s,
            request_id=request_id,
        )

    def _check_pairs(self) -> None:
        if self.prompt and self.messages:
            raise InvalidRequestError(
                "prompt: cannot be given together with messages; send one of them", field="prompt"
            )
        if not self.prompt and not self.messages:
            raise PromptRequiredError(
                "prompt: must be given and not be empty, unless there are messages", field="prompt"
            )
        if self.grammar is not None and self.json_schema is not None:
            raise InvalidRequestError(
                "grammar: cannot be given together with json_schema; send one of them",
                field="grammar",
            )
