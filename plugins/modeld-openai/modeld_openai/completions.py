# SPDX-License-Identifier: GPL-3.0-only
"""The body of ``POST /v1/completions``, and the requests for the service that it means."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from modeld.dialects import Call
from modeld.dialects.body import one_or_list
from modeld.requests import GenerateRequest
from modeld_openai.fields import (
    MAX_LOGPROBS,
    MAX_TOKENS,
    MOST_CHOICES,
    GenerationBody,
    of_choices,
    refused,
    texts_only,
    wrong,
)

USUAL_TOKENS = 16
"""How long a completion is where nobody says so."""

Prompts = Annotated[
    list[Annotated[str, Field(min_length=1)]],
    Field(min_length=1, max_length=MOST_CHOICES, fail_fast=True),
    BeforeValidator(texts_only),
    one_or_list({"type": "string", "minLength": 1}, minItems=1, maxItems=MOST_CHOICES),
]


class CompletionBody(GenerationBody):
    """A request for how texts go on."""

    prompt: Prompts = Field(
        description="one text, or a list of them; none of them empty, and no token ids"
    )
    max_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] | None = Field(
        None, description="longest generation; without it 16"
    )
    logprobs: Annotated[int, Field(ge=0, le=MAX_LOGPROBS)] | None = Field(
        None, description="send the probability of each token, and of this many likeliest ones"
    )
    echo: bool | None = Field(
        None, description="true sends the prompt before its completion; not with `logprobs`"
    )
    suffix: Annotated[None, refused("is not served")] = None
    best_of: Annotated[None, refused("is not served; send `n`")] = None

    def requests(self, call: Call) -> list[GenerateRequest]:
        """Return a request for each choice of each prompt.

        Raises:
            InvalidRequestError: two fields contradict each other, or there are too many choices.
        """
        self.check_stream()
        if len(self.prompt) * self.choices > MOST_CHOICES:
            raise wrong("n", f"all prompts together may have at most {MOST_CHOICES} choices")
        if self.echo and self.logprobs is not None:
            raise wrong("echo", "cannot be had with logprobs: those of a prompt are not known")
        members = self.members(call.request_id)
        members["max_tokens"] = self.max_tokens or USUAL_TOKENS
        members["logprobs"] = self.logprobs
        return [
            request
            for prompt in self.prompt
            for request in of_choices(GenerateRequest(prompt=prompt, **members), self.choices)
        ]

    def beginnings(self) -> list[str]:
        """Return what the text of each choice begins with."""
        return [prompt if self.echo else "" for prompt in self.prompt for _ in range(self.choices)]
