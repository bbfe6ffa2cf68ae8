# SPDX-License-Identifier: GPL-3.0-only
"""The body of ``POST /v1/completions``, and the requests for the service that it means."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from modeld.dialects import Call
from modeld.dialects.body import refused, wrong
from modeld.requests import GenerateRequest
from modeld_openai.fields import MAX_LOGPROBS, MAX_TOKENS, MOST_CHOICES, GenerationBody, of_choices
from modeld_openai.text_or_tokens import (
    SomeTokens,
    TextOrTokens,
    kind_of_several,
    several,
)

USUAL_TOKENS = 16
"""How long a completion is where nobody says so."""


Prompts = Annotated[
    Annotated[str, Tag("~text")]
    | Annotated[SomeTokens, Tag("~tokens")]
    | Annotated[
        Annotated[list[TextOrTokens], Field(min_length=1, max_length=MOST_CHOICES, fail_fast=True)],
        Tag("~several"),
    ],
    Discriminator(kind_of_several),
]


class CompletionBody(GenerationBody):
    """A request for how texts go on."""

    elsewhere = {
        "input": "it is called `prompt` here",
        "max_completion_tokens": "it is called `max_tokens` here",
        "max_output_tokens": "it is called `max_tokens` here",
        "messages": "send `prompt`, or the chat to /v1/chat/completions",
        "stop_sequences": "it is called `stop` here",
    }

    prompt: Prompts = Field(
        description="one text or list of token ids, or a list of such; none of them empty but a"
        " single text beside a `suffix`"
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
    suffix: str | None = Field(
        None,
        description="text that follows: the completion is what stands between the prompt and this;"
        " empty counts as left out",
    )
    best_of: Annotated[None, refused("is not served; send `n`")] = None

    def requests(self, call: Call) -> list[GenerateRequest]:
        """Return a request for each choice of each prompt.

        Raises:
            InvalidRequestError: two fields contradict each other, or there are too many choices.
        """
        self.check_stream()
        prompts = several(self.prompt)
        if not (self.prompt or self.suffix):
            raise wrong("prompt", "must not be empty, unless there is a suffix")
        if len(prompts) * self.choices > MOST_CHOICES:
            raise wrong("n", f"all prompts together may have at most {MOST_CHOICES} choices")
        if self.echo and self.logprobs is not None:
            raise wrong("echo", "cannot be had with logprobs: those of a prompt are not known")
        if self.echo and not all(isinstance(prompt, str) for prompt in prompts):
            raise wrong("echo", "cannot be had with token ids; send the prompt as a text")
        if self.suffix and not all(isinstance(prompt, str) for prompt in prompts):
            raise wrong("suffix", "cannot be had with token ids; send the prompt as a text")
        members = self.members(call.request_id)
        members["max_tokens"] = self.max_tokens or USUAL_TOKENS
        members["logprobs"] = self.logprobs
        members["suffix"] = self.suffix or None
        return [
            request
            for prompt in prompts
            for request in of_choices(_request(prompt, members), self.choices)
        ]

    def beginnings(self) -> list[str]:
        """Return what the text of each choice begins with."""
        return [
            prompt if self.echo and isinstance(prompt, str) else ""
            for prompt in several(self.prompt)
            for _ in range(self.choices)
        ]


def _request(prompt: str | list[int], members: dict[str, Any]) -> GenerateRequest:
    if isinstance(prompt, str):
        return GenerateRequest(prompt=prompt, **members)
    return GenerateRequest(prompt_tokens=tuple(prompt), **members)
