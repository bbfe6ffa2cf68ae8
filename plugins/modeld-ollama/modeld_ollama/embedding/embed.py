# SPDX-License-Identifier: GPL-3.0-only
"""``POST /api/embed`` and ``POST /api/embeddings``, its older form: texts become vectors."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel

from modeld.dialects import JSON, Call, Load, UnaryRoute, Unload, Wanted, WholeResponse, listing
from modeld.dialects.body import wrong
from modeld.dialects.documents import WORK_ERRORS, Content, ResponseDoc
from modeld.errors import InternalError, LoadFailedError, NotSupportedError
from modeld.requests import AnyUnaryRequest, EmbedRequest, TokenizeRequest
from modeld.responses import AnyUnaryResponse, TokenizeResponse
from modeld_ollama.embedding.bodies import (
    OllamaEmbedBody,
    OllamaEmbeddingsBody,
    OllamaVector,
    OllamaVectors,
)
from modeld_ollama.embedding.cutting import cut, positions_of_long
from modeld_ollama.models.catalogue import Catalogue
from modeld_ollama.responses import MODEL
from modeld_ollama.text.fields import OllamaBody
from modeld_ollama.timing import nanoseconds

MAX_CUT: Final = 128
"""How many texts one request may have that are cut."""

_NUMBERS_PER_TURN: Final = 16_384

_DESCRIPTION: Final = """\
The model is loaded if it is not in memory, and the request waits in its queue as one for text
does. Without a text the model is only loaded. One that makes no embeddings is refused.
"""
_VECTOR: Final = [-0.0247, -0.0104, 0.0261]
_VECTORS: Final = {
    "model": MODEL,
    "total_duration": 14143917,
    "load_duration": 0,
    "prompt_eval_count": 8,
    "embeddings": [_VECTOR],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedRoutes:
    """Makes the route and its older form, with the bodies that have the backends' options."""

    catalogue: Catalogue

    def embed(self, body: type[OllamaEmbedBody]) -> UnaryRoute[OllamaEmbedBody]:
        """Return the route for several texts."""
        return UnaryRoute(
            path="/api/embed",
            name="ollama_embed",
            summary="Turn texts into vectors, in Ollama's form",
            description=_DESCRIPTION,
            body=body,
            body_examples={
                "one": {"model": MODEL, "input": "a cat"},
                "several": {"model": MODEL, "input": ["a cat", "a dog"]},
            },
            requests=self._of_texts,
            then=self._of_cut_texts,
            respond=_vectors,
            responses=(_described(OllamaVectors, _VECTORS),),
            raises=WORK_ERRORS,
        )

    def embeddings(self, body: type[OllamaEmbeddingsBody]) -> UnaryRoute[OllamaEmbeddingsBody]:
        """Return the route for one text."""
        return UnaryRoute(
            path="/api/embeddings",
            name="ollama_embeddings",
            summary="Turn a text into a vector, in Ollama's older form",
            description=_DESCRIPTION,
            body=body,
            body_examples={"one": {"model": MODEL, "prompt": "a cat"}},
            requests=self._of_text,
            respond=_vector,
            responses=(_described(OllamaVector, {"embedding": _VECTOR}),),
            raises=WORK_ERRORS,
        )

    async def _of_texts(self, body: OllamaEmbedBody, call: Call) -> Wanted[AnyUnaryRequest]:
        wanted = await _wanted(self.catalogue, body, call, body.input or (), normalize=True)
        if isinstance(wanted, Load | Unload) or not body.truncate:
            return wanted
        spec = self.catalogue.seen(wanted[0].model)
        return (spec and _tokens_wanted(spec.context, wanted[0])) or wanted

    def _of_cut_texts(
        self, body: OllamaEmbedBody, call: Call, responses: Sequence[AnyUnaryResponse]
    ) -> list[AnyUnaryRequest] | None:
        tokens = [each for each in responses if isinstance(each, TokenizeResponse)]
        if not tokens:
            return None
        spec, texts = self.catalogue.seen(call.model), tuple(body.input or ())
        context = None if spec is None else spec.context
        if context is None or len(positions_of_long(texts, context)) != len(tokens):
            raise LoadFailedError("the model has changed meanwhile; try again", retry_after_s=1)
        texts = cut(texts, tokens, context)
        return [_embedding(call.model, body, call, texts, normalize=True)]

    async def _of_text(self, body: OllamaEmbeddingsBody, call: Call) -> Wanted[EmbedRequest]:
        texts = (body.prompt,) if body.prompt else ()
        return await _wanted(self.catalogue, body, call, texts, normalize=False)


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
            fit=body.fit is not False,
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
        fit=body.fit is not False,
        request_id=call.request_id,
    )


def _tokens_wanted(context: int | None, wanted: EmbedRequest) -> list[AnyUnaryRequest]:
    """Return requests for the tokens of all texts that may have to be cut.

    Raises:
        InvalidRequestError: it is not known how long texts may be, or there are too many.
    """
    if context is None:
        raise wrong("truncate", "the model's context is not known; leave it out")
    texts = [each for each in wanted.inputs if isinstance(each, str)]  # this wire has no others
    long = positions_of_long(texts, context)
    if len(long) > MAX_CUT:
        raise wrong("truncate", f"at most {MAX_CUT} texts may be so long; send fewer at once")
    return [
        TokenizeRequest(
            model=wanted.model,
            text=texts[position],
            add_special=False,
            parse_special=False,
            with_pieces=True,
            timeout_s=wanted.timeout_s,
            keep_alive_s=wanted.keep_alive_s,
            fit=wanted.fit,
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
        "load_duration": nanoseconds(response.usage.load_s),
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
