# SPDX-License-Identifier: GPL-3.0-only
"""The bodies of requests for vectors, and what the responses are, for the documents."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, Field

from modeld.dialects.body import listed, one_or_list
from modeld_ollama.text.fields import OllamaBody
from modeld_ollama.text.options import OllamaOptions

MAX_INPUTS: Final = 2048

Inputs = Annotated[
    list[Annotated[str, Field(min_length=1)]],
    Field(max_length=MAX_INPUTS, fail_fast=True),
    BeforeValidator(listed),
    one_or_list({"type": "string", "minLength": 1}, maxItems=MAX_INPUTS),
]


class _VectorsBody(OllamaBody):
    """Base of both bodies."""

    options: OllamaOptions | None = Field(
        None,
        description="only `num_ctx` counts: no tokens are chosen here, so the rest says nothing",
    )


class OllamaEmbedBody(_VectorsBody):
    """Texts whose vectors are wanted."""

    input: Inputs | None = Field(
        None, description="one text, or a list of them; none of them empty"
    )
    truncate: bool | None = Field(
        None, description="true cuts texts that are too long; otherwise they are refused"
    )
    dimensions: int | None = Field(
        None,
        ge=0,
        le=2**31,
        description="length of the vectors; refused unless the model's have it anyway, or 0",
    )


class OllamaEmbeddingsBody(_VectorsBody):
    """One text whose vector is wanted."""

    prompt: str | None = Field(None, description="the text")


class OllamaVectors(BaseModel):
    """One vector for each text, in their order, each of length 1."""

    model: str = Field(description="the model as the request names it")
    total_duration: int | None = Field(None, description="how long it took, in nanoseconds")
    load_duration: int | None = Field(
        None, description="how long of that it has waited for the model's load"
    )
    prompt_eval_count: int | None = Field(None, description="tokens of all texts")
    embeddings: list[list[float]]


class OllamaVector(BaseModel):
    """The vector of a text, as the model has made it."""

    embedding: list[float]
