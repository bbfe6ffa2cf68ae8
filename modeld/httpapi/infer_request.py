# SPDX-License-Identifier: GPL-3.0-only
"""The body of ``POST /infer``: what it may say, and the request for the service that it means."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from modeld.errors import InvalidRequestError, PromptRequiredError
from modeld.values import GenerateRequest, Message, Sampling

MAX_STOPS = 16
MAX_STOP_CHARACTERS = 256
MAX_MESSAGES = 1024
MAX_TOKENS = 2**31
MAX_TIMEOUT_S = 86_400.0

_STOP_SCHEMA = {"type": "string", "minLength": 1, "maxLength": MAX_STOP_CHARACTERS}


def _listed(stop: Any) -> Any:
    return [stop] if isinstance(stop, str) else stop


StopText = Annotated[str, Field(min_length=1, max_length=MAX_STOP_CHARACTERS)]
StopList = Annotated[
    list[StopText],
    Field(max_length=MAX_STOPS),
    BeforeValidator(_listed),
    WithJsonSchema(
        {"anyOf": [_STOP_SCHEMA, {"type": "array", "items": _STOP_SCHEMA, "maxItems": MAX_STOPS}]}
    ),
]


class Strict(BaseModel):
    """Base of request bodies: no conversions, no unknown fields."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class ChatMessage(Strict):
    """One turn of a chat."""

    role: str = Field(
        min_length=1, max_length=64, description="who speaks: system, user, assistant, tool …"
    )
    content: str = Field(description="what was said")


class InferRequest(Strict):
    """A request for text: a prompt, or messages for the model's chat template.

    A field that is left out or null has the model's own default.
    """

    model: str | None = Field(
        None, max_length=512, description="id from GET /models; without it the default model"
    )
    prompt: str | None = Field(None, description="text to go on with; not together with messages")
    messages: list[ChatMessage] | None = Field(
        None, max_length=MAX_MESSAGES, description="a chat to go on with; not with a prompt"
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
    temperature: float | None = Field(
        None, ge=0, le=5, description="0 always takes the most likely token; higher is more varied"
    )
    top_p: float | None = Field(
        None, gt=0, le=1, description="keep the likeliest tokens with this much probability; 1: all"
    )
    top_k: int | None = Field(
        None, ge=0, le=2**31 - 1, description="keep this many of the likeliest tokens; 0: all"
    )
    min_p: float | None = Field(
        None,
        ge=0,
        le=1,
        description="drop tokens less likely than this part of the likeliest one's; 0: none",
    )
    stop: StopList | None = Field(
        None, description="texts that end the answer and are not part of it: one or a list"
    )
    seed: int | None = Field(
        None, ge=0, le=2**32 - 2, description="makes the answer repeatable; without it random"
    )
    repeat_penalty: float | None = Field(
        None, gt=0, le=10, description="above 1 makes repeating less likely; 1: off"
    )
    timeout_s: float | None = Field(
        None, gt=0, le=MAX_TIMEOUT_S, description="longest time for the whole request, in seconds"
    )

    def to_generate_request(self, request_id: str) -> GenerateRequest:
        """The same as a value for the service.

        Raises:
            PromptRequiredError: there is nothing to answer to.
            InvalidRequestError: there is both a prompt and a chat.
        """
        if self.prompt and self.messages:
            raise InvalidRequestError(
                "prompt: cannot be given together with messages; send one of them", field="prompt"
            )
        if not self.prompt and not self.messages:
            raise PromptRequiredError(
                "prompt: must be given and not be empty, unless there are messages", field="prompt"
            )
        return GenerateRequest(
            model=self.model or "",
            prompt=self.prompt or None,
            messages=tuple(Message(role=m.role, content=m.content) for m in self.messages)
            if self.messages
            else None,
            max_tokens=self.max_tokens,
            stop=tuple(self.stop or ()),
            sampling=self._sampling(),
            timeout_s=self.timeout_s,
            request_id=request_id,
        )

    def _sampling(self) -> Sampling:
        return Sampling(
            temperature=self.temperature,
            top_p=self.top_p,
            top_k=self.top_k,
            min_p=self.min_p,
            repeat_penalty=self.repeat_penalty,
            seed=self.seed,
        )
