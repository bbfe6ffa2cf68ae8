# SPDX-License-Identifier: GPL-3.0-only
"""The body of ``POST /v1/completions``, and the requests for the service that it means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from modeld.dialects import Call
from modeld.dialects.token_fields import TokenIds
from modeld.requests import GenerateRequest
from modeld_openai.fields import (
    MAX_LOGPROBS,
    MAX_TOKENS,
    MOST_CHOICES,
    GenerationBody,
    of_choices,
    refused,
    wrong,
)

USUAL_TOKENS = 16
"""How long a completion is where nobody says so."""


def _kind_of_prompt(given: Any) -> str:
    return "~tokens" if isinstance(given, list) else "~text"


Prompt = Annotated[
    Annotated[Annotated[str, Field(min_length=1)], Tag("~text")]
    | Annotated[Annotated[TokenIds, Field(min_length=1)], Tag("~tokens")],
    Discriminator(_kind_of_prompt),
]


def _kind_of_prompts(given: Any) -> str:
    if not isinstance(given, list):
        return "~text"
    return "~tokens" if given and isinstance(given[0], int) else "~several"


Prompts = Annotated[
    Annotated[Annotated[str, Field(min_length=1)], Tag("~text")]
    | Annotated[Annotated[TokenIds, Field(min_length=1)], Tag("~tokens")]
    | Annotated[
        Annotated[list[Prompt], Field(min_length=1, max_length=MOST_CHOICES, fail_fast=True)],
        Tag("~several"),
    ],
    Discriminator(_kind_of_prompts),
]


class CompletionBody(GenerationBody):
    """A request for how texts go on."""

    prompt: Prompts = Field(
        description="one text or list of token ids, or a list of such; none of them empty"
    )
    max_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] | None = Field(
        None, description="longest generation; without it 16"
    )
    logprobs: Annotated[int, Field(ge=0, le=MAX_LOGPROBS)] | None = Field(
        None, description="send the probability of each token, and of this many likeliest ones"
    )
    echo: bool | None = Field(
        None,
        description="true sends the prompt before its completion; not with `logprobs` or token ids",
    )
    suffix: Annotated[None, refused("is not served")] = None
    best_of: Annotated[None, refused("is not served; send `n`")] = None

    def requests(self, call: Call) -> list[GenerateRequest]:
        """Return a request for each choice of each prompt.

        Raises:
            InvalidRequestError: two fields contradict each other, or there are too many choices.
        """
        self.check_stream()
        prompts = self._prompts()
        if len(prompts) * self.choices > MOST_CHOICES:
            raise wrong("n", f"all prompts together may have at most {MOST_CHOICES} choices")
        if self.echo and self.logprobs is not None:
            raise wrong("echo", "cannot be had with logprobs: those of a prompt are not known")
        if self.echo and not all(isinstance(prompt, str) for prompt in prompts):
            raise wrong("echo", "cannot be had with token ids; send the prompt as a text")
        members = self.members(call.request_id)
        members["max_tokens"] = self.max_tokens or USUAL_TOKENS
        members["logprobs"] = self.logprobs
        return [
            request
            for prompt in prompts
            for request in of_choices(_request(prompt, members), self.choices)
        ]

    def beginnings(self) -> list[str]:
        """Return what the text of each choice begins with."""
        return [
            prompt if self.echo and isinstance(prompt, str) else ""
            for prompt in self._prompts()
            for _ in range(self.choices)
        ]

    def _prompts(self) -> list[str | list[int]]:
        if isinstance(self.prompt, str):
            return [self.prompt]
        parts: Sequence[int | str | list[int]] = self.prompt
        tokens = [part for part in parts if isinstance(part, int)]
        return [tokens] if tokens else [part for part in parts if not isinstance(part, int)]


def _request(prompt: str | list[int], members: dict[str, Any]) -> GenerateRequest:
    if isinstance(prompt, str):
        return GenerateRequest(prompt=prompt, **members)
    return GenerateRequest(prompt_tokens=tuple(prompt), **members)
