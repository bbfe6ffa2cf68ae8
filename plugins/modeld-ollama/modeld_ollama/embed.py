# SPDX-License-Identifier: GPL-3.0-only
"""``POST /api/embed`` and ``POST /api/embeddings``, its older form: texts become vectors."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, Field

from modeld.dialects import JSON, Call, Load, UnaryRoute, Unload, Wanted, WholeResponse, listing
from modeld.dialects.body import listed, one_or_list, wrong
from modeld.dialects.documents import WORK_ERRORS, Content, ResponseDoc
from modeld.errors import InternalError, LoadFailedError, NotSupportedError
from modeld.requests import AnyUnaryRequest, EmbedRequest, TokenizeRequest
from modeld.responses import AnyUnaryResponse, TokenizeResponse
from modeld_ollama.catalogue import Catalogue
from modeld_ollama.cutting import cut, positions_of_long
from modeld_ollama.fields import OllamaBody
from modeld_ollama.options import OllamaOptions
from modeld_ollama.responses import MODEL
from modeld_ollama.timing import nanoseconds

MAX_INPUTS: Final = 2048
MAX_CUT: Final = 128
"""How many texts one request may have that are cut."""

_NUMBERS_PER_TURN: Final = 16_384

_DESCRIPTION: Final = """\
The model is loaded if it is not in memory, and the request waits in its queue as one for text
does. Without a text the model is only loaded. One that makes no embeddings is refused.
"""
_VECTOR: Final = [-0.0247, -0.0104, 0.0261]

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
        description="length of the vectors; refused unless the model's have it anyway, or 0",
    )


class OllamaEmbeddingsBody(_VectorsBody):
    """One text whose vector is wanted."""

    prompt: str | None = Field(None, description="the text")


class OllamaVectors(BaseModel):
    """One vector for each text, in their order, each of length 1."""

    model: str = Field(description="the model as the request names it")
    total_duration: int | None = Field(None, description="how long it took, in nanoseconds")
    load_duration: int | None = Field(None, description="always 0: a load counts in the total")
    prompt_eval_count: int | None = Field(None, description="tokens of all texts")
    embeddings: list[list[float]]


class OllamaVector(BaseModel):
    """The vector of a text, as the model has made it."""

    embedding: list[float]


def embed_routes(
    catalogue: Catalogue, embed: type[OllamaEmbedBody], embeddings: type[OllamaEmbeddingsBody]
) -> tuple[UnaryRoute[OllamaEmbedBody], UnaryRoute[OllamaEmbeddingsBody]]:
    """Return the route, and its older form."""

    async def of_texts(body: OllamaEmbedBody, call: Call) -> Wanted[AnyUnaryRequest]:
        wanted = await _wanted(catalogue, body, call, body.input or (), normalize=True)
        if isinstance(wanted, Load | Unload) or not body.truncate:
            return wanted
        spec = catalogue.seen(wanted[0].model)
        return (spec and _tokens_wanted(spec.context, wanted[0])) or wanted

    def of_cut_texts(
        body: OllamaEmbedBody, call: Call, responses: Sequence[AnyUnaryResponse]
    ) -> list[AnyUnaryRequest] | None:
        tokens = [each for each in responses if isinstance(each, TokenizeResponse)]
        if not tokens:
            return None
        spec, texts = catalogue.seen(call.model), tuple(body.input or ())
        context = (spec and spec.context) or 0
        if len(positions_of_long(texts, context)) != len(tokens):
            raise LoadFailedError("the model has changed meanwhile; try again", retry_after_s=1)
        texts = cut(texts, tokens, context)
        return [_embedding(call.model, body, call, texts, normalize=True)]

    async def of_text(body: OllamaEmbeddingsBody, call: Call) -> Wanted[EmbedRequest]:
        texts = (body.prompt,) if body.prompt else ()
        return await _wanted(catalogue, body, call, texts, normalize=False)

    example = {"model": MODEL, "total_duration": 14143917, "load_duration": 0}
    example |= {"prompt_eval_count": 8, "embeddings": [_VECTOR]}
    return (
        UnaryRoute(
            path="/api/embed",
            name="ollama_embed",
            summary="Turn texts into vectors, in Ollama's form",
            description=_DESCRIPTION,
            body=embed,
            body_examples={
                "one": {"model": MODEL, "input": "a cat"},
                "several": {"model": MODEL, "input": ["a cat", "a dog"]},
            },
            requests=of_texts,
            then=of_cut_texts,
            respond=_vectors,
            responses=(_described(OllamaVectors, example),),
            raises=WORK_ERRORS,
        ),
        UnaryRoute(
            path="/api/embeddings",
            name="ollama_embeddings",
            summary="Turn a text into a vector, in Ollama's older form",
            description=_DESCRIPTION,
            body=embeddings,
            body_examples={"one": {"model": MODEL, "prompt": "a cat"}},
            requests=of_text,
            respond=_vector,
            responses=(_described(OllamaVector, {"embedding": _VECTOR}),),
            raises=WORK_ERRORS,
        ),
    )


async def _wanted(
    catalogue: Catalogue, body: OllamaBody, call: Call, texts: Sequence[str], *, normalize: bool
) -> Wanted[EmbedRequest]:
    named = await catalogue.find(body.model, call)
    body.check_context(named)
    if not texts:
        empty = {"model": body.model or named.id, "embeddings": []}
        content = empty if isinstance(body, OllamaEmbedBody) else {"embedding": []}
        return Load(
            model=named.id,
            respond=lambda _call: WholeResponse.of(content),
            keep_alive_s=body.keep_alive,
            timeout_s=body.timeout_s,
        )
    return [_embedding(named.id, body, call, texts, normalize=normalize)]


def _embedding(
    model: str, body: OllamaBody, call: Call, texts: Sequence[str], *, normalize: bool
) -> EmbedRequest:
    return EmbedRequest(
        model=model,
        inputs=tuple(texts),
        normalize=normalize,
        timeout_s=body.timeout_s,
        keep_alive_s=body.keep_alive,
        request_id=call.request_id,
    )


def _tokens_wanted(context: int | None, wanted: EmbedRequest) -> list[AnyUnaryRequest]:
    """Return requests for the tokens of all texts that may have to be cut.

    Raises:
        InvalidRequestError: it is not known how long texts may be, or there are too many.
    """
    if context is None:
        raise wrong("truncate", "the model's context is not known; leave it out")
    long = positions_of_long(wanted.inputs, context)
    if len(long) > MAX_CUT:
        raise wrong("truncate", f"at most {MAX_CUT} texts may be so long; send fewer at once")
    return [
        TokenizeRequest(
            model=wanted.model,
            text=wanted.inputs[position],
            add_special=False,
            parse_special=False,
            with_pieces=True,
            timeout_s=wanted.timeout_s,
            keep_alive_s=wanted.keep_alive_s,
            request_id=wanted.request_id,
        )
        for position in long
    ]


async def _vectors(body: OllamaEmbedBody, call: Call, responses: Sequence[Any]) -> WholeResponse:
    (response,) = responses
    vectors = response.vectors
    if len(vectors) != len(body.input or ()):
        raise InternalError(f"the service has responded with {len(vectors)} vectors")
    width = max(map(len, vectors), default=0)
    if body.dimensions and body.dimensions != width:
        raise NotSupportedError(
            f"dimensions: the model's vectors have {width} numbers, and to cut them is only right"
            " for models that were trained for it; leave the field out",
            field="dimensions",
        )
    others = {
        "model": body.model or call.model,
        "total_duration": nanoseconds(time.monotonic() - call.begun_s),
        "load_duration": 0,
        "prompt_eval_count": response.usage.prompt_tokens,
    }
    per_turn = max(1, _NUMBERS_PER_TURN // max(1, width))
    return await listing("embeddings", _finite(vectors), per_turn, others)


async def _vector(
    _body: OllamaEmbeddingsBody, _call: Call, responses: Sequence[Any]
) -> WholeResponse:
    (response,) = responses
    vectors = list(_finite(response.vectors))
    if len(vectors) != 1:
        raise InternalError(f"the service has responded with {len(vectors)} vectors")
    return WholeResponse.of({"embedding": vectors[0]})


def _finite(vectors: Sequence[Sequence[float]]) -> Iterator[Sequence[float]]:
    for vector in vectors:
        if not all(map(math.isfinite, vector)):
            raise InternalError("the service has responded with a number that is not finite")
        yield vector


def _described(model: type[BaseModel], example: object) -> ResponseDoc:
    content = Content(media_type=JSON, model=model, example=example)
    return ResponseDoc(status=200, description="The response", contents=(content,))
