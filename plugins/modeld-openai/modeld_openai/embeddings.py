# SPDX-License-Identifier: GPL-3.0-only
"""``POST /v1/embeddings``: texts become vectors."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Discriminator, Field, Tag

from modeld.dialects import JSON, Call, UnaryRoute, WholeResponse, listing
from modeld.dialects.body import ModelRequest
from modeld.dialects.documents import WORK_ERRORS, Content, ResponseDoc
from modeld.errors import InternalError, NotSupportedError
from modeld.requests import EmbedRequest
from modeld_openai.fields import Label
from modeld_openai.text_or_tokens import (
    SomeText,
    SomeTokens,
    TextOrTokens,
    kind_of_several,
    several,
)

MAX_INPUTS = 2048
_NUMBERS_PER_TURN = 16_384

_DESCRIPTION = """\
The model is loaded if it is not in memory, and the request waits in its queue as one for text
does. A model that makes no embeddings is refused with `not_supported`.
"""
_EXAMPLE = {
    "object": "list",
    "model": "SmolLM2-135M-Instruct.Q4_1.gguf",
    "usage": {"prompt_tokens": 2, "total_tokens": 2},
    "data": [{"object": "embedding", "index": 0, "embedding": [-0.0247, -0.0104, 0.0261]}],
}


Inputs = Annotated[
    Annotated[SomeText, Tag("~text")]
    | Annotated[SomeTokens, Tag("~tokens")]
    | Annotated[
        Annotated[list[TextOrTokens], Field(min_length=1, max_length=MAX_INPUTS, fail_fast=True)],
        Tag("~several"),
    ],
    Discriminator(kind_of_several),
]


class EmbeddingsBody(ModelRequest):
    """Texts whose vectors are wanted."""

    input: Inputs = Field(
        description="one text or list of token ids, or a list of such; none of them empty"
    )
    encoding_format: Literal["float", "base64"] | None = Field(
        None,
        description="float (the default) sends numbers, base64 the bytes of 32-bit floats,"
        " little-endian",
    )
    dimensions: int | None = Field(
        None,
        ge=1,
        description="length of the vectors; refused unless the model's have it anyway",
    )
    normalize: bool | None = Field(
        None, description="true (the default) scales each vector to length 1"
    )
    user: Label | None = Field(None, description="taken and without effect")


class OpenAIEmbedding(BaseModel):
    """The vector of one text."""

    object: Literal["embedding"]
    index: int = Field(description="which text of the request it belongs to, from 0")
    embedding: list[float] | str = Field(description="numbers, or base64 of their bytes")


class OpenAIEmbeddingUsage(BaseModel):
    """What the request cost, in tokens."""

    prompt_tokens: int
    total_tokens: int


class OpenAIEmbeddingList(BaseModel):
    """One vector for each text, in their order."""

    object: Literal["list"]
    model: str = Field(description="the model that has served the request")
    usage: OpenAIEmbeddingUsage
    data: list[OpenAIEmbedding]


def embeddings_route() -> UnaryRoute[EmbeddingsBody]:
    """Return the route."""
    content = Content(media_type=JSON, model=OpenAIEmbeddingList, example=_EXAMPLE)
    return UnaryRoute(
        path="/v1/embeddings",
        name="openai_embeddings",
        summary="Turn texts into vectors, in OpenAI's form",
        description=_DESCRIPTION,
        body=EmbeddingsBody,
        body_examples={"one": {"input": "a cat"}, "several": {"input": ["a cat", "a dog"]}},
        requests=_requests,
        respond=_respond,
        responses=(ResponseDoc(status=200, description="The response", contents=(content,)),),
        raises=WORK_ERRORS,
    )


def _requests(body: EmbeddingsBody, call: Call) -> tuple[EmbedRequest]:
    request = EmbedRequest(
        inputs=tuple(
            each if isinstance(each, str) else tuple(each) for each in several(body.input)
        ),
        normalize=body.normalize is not False,
        **body.common_members(call.request_id),
    )
    return (request,)


async def _respond(body: EmbeddingsBody, call: Call, responses: Sequence[Any]) -> WholeResponse:
    (response,) = responses
    vectors = response.vectors
    if len(vectors) != len(several(body.input)):
        raise InternalError(f"the service has responded with {len(vectors)} vectors")
    width = max(map(len, vectors), default=0)
    if body.dimensions is not None and body.dimensions != width:
        raise NotSupportedError(
            f"dimensions: the model's vectors have {width} numbers, and to cut them is only right"
            " for models that were trained for it; leave the field out",
            field="dimensions",
        )
    tokens = response.usage.prompt_tokens
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return await listing(
        "data",
        _items(vectors, as_base64=body.encoding_format == "base64"),
        max(1, _NUMBERS_PER_TURN // max(1, width)),
        {"object": "list", "model": call.model, "usage": usage},
    )


def _items(vectors: Sequence[Sequence[float]], *, as_base64: bool) -> Iterator[dict[str, object]]:
    for index, vector in enumerate(vectors):
        if not all(map(math.isfinite, vector)):
            raise InternalError("the service has responded with a number that is not finite")
        written = _base64(vector) if as_base64 else vector
        yield {"object": "embedding", "index": index, "embedding": written}


def _base64(vector: Sequence[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
