# SPDX-License-Identifier: GPL-3.0-only
"""What the bodies have in common, and what they refuse by name."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec.structs import replace
from pydantic import Field

from modeld.dialects.body import ModelRequest, OnlyFalse, Strict, wrong
from modeld.dialects.constraint_fields import ConstraintFields
from modeld.dialects.sampling_fields import SamplingFields
from modeld.dialects.stop_fields import StopList
from modeld.requests import GenerateRequest

MOST_CHOICES = 128
"""How many generations one request may ask for, those of all its prompts together."""

MAX_TOKENS = 2**31
MAX_LOGPROBS = 20
MAX_LABEL_CHARACTERS = 512
_SEEDS = 2**32 - 1
"""How many seeds there are."""

Label = Annotated[str, Field(max_length=MAX_LABEL_CHARACTERS)]
"""What a client says about itself, which changes nothing."""


class StreamOptions(Strict):
    """What a stream has beyond its chunks."""

    include_usage: bool | None = Field(
        None, description="true sends a last chunk with what all choices cost"
    )
    include_obfuscation: OnlyFalse | None = Field(None, description="only false: nothing is padded")


class TextBody(SamplingFields, ConstraintFields, ModelRequest):
    """Base of all bodies that ask for text. A field that is null counts as left out."""

    stream: bool | None = Field(
        None, description="true sends chunks as they come; false (the default) one object"
    )
    stop: StopList | None = Field(
        None, description="texts that end the generation and are not part of it: one or a list"
    )
    user: Label | None = Field(None, description="taken and without effect")

    def members(self, request_id: str) -> dict[str, Any]:
        """Return what all requests for the service have."""
        return {
            **self.common_members(request_id),
            "stop": tuple(self.stop or ()),
            "sampling": self.to_sampling(),
            **self.constraint_members(),
        }


class GenerationBody(TextBody):
    """Base of the bodies that ask for one or more choices."""

    stream_options: StreamOptions | None = Field(
        None, description="`include_usage` for a last chunk with the usage; only with `stream`"
    )
    n: int | None = Field(
        None,
        ge=1,
        le=MOST_CHOICES,
        description="choices for each prompt; each has the next seed, where there is one",
    )

    @property
    def choices(self) -> int:
        """Return how many generations each prompt has."""
        return self.n or 1

    @property
    def wants_usage(self) -> bool:
        """Return whether a stream has a chunk with what it cost."""
        return self.stream_options is not None and self.stream_options.include_usage is True

    def check_stream(self) -> None:
        """Refuse options of a stream where there is none.

        Raises:
            InvalidRequestError: there are some.
        """
        if self.stream_options is not None and self.stream is not True:
            raise wrong("stream_options", "is for streams; set `stream` to true")


def of_choices(request: GenerateRequest, choices: int) -> list[GenerateRequest]:
    """Return the requests for several choices: the same but for the seed, where there is one."""
    seed = request.sampling.seed
    if seed is None or choices == 1:
        return [request] * choices
    return [
        replace(request, sampling=replace(request.sampling, seed=(seed + index) % _SEEDS))
        for index in range(choices)
    ]
