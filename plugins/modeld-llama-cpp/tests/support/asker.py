# SPDX-License-Identifier: GPL-3.0-only
"""Drives an embedding engine as modeld does, and reads a vocabulary without an engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import llama_cpp
import numpy as np
from modeld_llama_cpp.embedding.engine import EmbeddingEngine
from modeld_llama_cpp.native import native_log
from modeld_llama_cpp.tokens.vocabulary import Vocabulary
from numpy.typing import NDArray

from modeld import Failed, ModelSpec
from modeld.requests import AnyUnaryRequest, EmbedRequest, RerankRequest
from modeld.responses import AnyUnaryResponse


class Asker:
    """One engine and all responses so far."""

    def __init__(self, engine: EmbeddingEngine) -> None:
        self.engine = engine
        self.responses: dict[int, AnyUnaryResponse | Failed] = {}
        self._count = 0

    def ask(self, request: AnyUnaryRequest) -> int:
        request_id, self._count = self._count, self._count + 1
        self.engine.submit(request_id, request)
        return request_id

    def step(self) -> None:
        for request_id, response in self.engine.step():
            assert request_id not in self.responses, "nothing may follow the end"
            self.responses[request_id] = response

    def finish(self, *request_ids: int) -> list[AnyUnaryResponse | Failed]:
        """Step until these requests have ended."""
        while any(request_id not in self.responses for request_id in request_ids):
            self.step()
        return [self.responses[request_id] for request_id in request_ids]

    def run(self, *requests: AnyUnaryRequest) -> list[AnyUnaryResponse | Failed]:
        """Submit requests together and step until they have ended."""
        return self.finish(*[self.ask(request) for request in requests])

    def vectors(self, *texts: str, normalize: bool = False) -> NDArray[np.float64]:
        """Return the vectors of some texts, asked for in one request."""
        (response,) = self.run(EmbedRequest(inputs=texts, normalize=normalize))
        return np.array(response.vectors)

    def scores(self, query: str, *documents: str) -> NDArray[np.float64]:
        """Return the scores of some documents."""
        (response,) = self.run(RerankRequest(query=query, documents=documents))
        return np.array(response.scores)

    def tokens(self, text: str) -> list[int]:
        """Return the tokens of a text as it is embedded."""
        return self.engine._inputs._vocabulary.tokenize(text.encode(), add_special=True)


def open_asker(path: Path, **options: object) -> Asker:
    spec = ModelSpec(id=path.name, name=path.name, path=str(path))
    return Asker(EmbeddingEngine.open(spec, {"threads": 1} | options, lambda _: None))


@contextmanager
def vocabulary_of(path: Path) -> Iterator[Vocabulary]:
    """Yield a model's vocabulary without its weights."""
    native_log.install()
    llama_cpp.llama_backend_init()
    params = llama_cpp.llama_model_default_params()
    params.vocab_only = True
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
    yield Vocabulary(model)
    llama_cpp.llama_model_free(model)


def likeness(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the cosine of the angle between two vectors."""
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))
