# SPDX-License-Identifier: GPL-3.0-only
"""Asks an embedding engine as modeld does, and the vocabulary of a model without an engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import llama_cpp
import numpy as np
from modeld_llama_cpp import native_log
from modeld_llama_cpp.embedding_engine import EmbeddingEngine
from modeld_llama_cpp.vocabulary import Vocabulary
from numpy.typing import NDArray

from modeld import Failed, ModelSpec
from modeld.questions import AnyQuestion, EmbedQuestion, Reply, RerankQuestion


class Asker:
    """One engine and all replies so far."""

    def __init__(self, engine: EmbeddingEngine) -> None:
        self.engine = engine
        self.replies: dict[int, Reply | Failed] = {}
        self._count = 0

    def ask(self, question: AnyQuestion) -> int:
        question_id, self._count = self._count, self._count + 1
        self.engine.ask(question_id, question)
        return question_id

    def step(self) -> None:
        for question_id, reply in self.engine.step():
            assert question_id not in self.replies, "nothing may follow the end"
            self.replies[question_id] = reply

    def finish(self, *question_ids: int) -> list[Reply | Failed]:
        """Step until these questions have ended."""
        while any(question_id not in self.replies for question_id in question_ids):
            self.step()
        return [self.replies[question_id] for question_id in question_ids]

    def run(self, *questions: AnyQuestion) -> list[Reply | Failed]:
        """Ask questions together and step until they have ended."""
        return self.finish(*[self.ask(question) for question in questions])

    def vectors(self, *texts: str, normalize: bool = False) -> NDArray[np.float64]:
        """The vectors of some texts, asked for in one question."""
        (reply,) = self.run(EmbedQuestion(inputs=texts, normalize=normalize))
        return np.array(reply.vectors)

    def scores(self, query: str, *documents: str) -> NDArray[np.float64]:
        """The scores of some documents."""
        (reply,) = self.run(RerankQuestion(query=query, documents=documents))
        return np.array(reply.scores)

    def tokens(self, text: str) -> list[int]:
        """The tokens of a text as it is embedded."""
        return self.engine._inputs._vocabulary.tokenize(text.encode(), add_special=True)


def open_asker(path: Path, **options: object) -> Asker:
    spec = ModelSpec(id=path.name, name=path.name, path=str(path))
    return Asker(EmbeddingEngine.open(spec, {"threads": 1} | options, lambda _: None))


@contextmanager
def vocabulary_of(path: Path) -> Iterator[Vocabulary]:
    """A model's vocabulary without its weights."""
    native_log.install()
    llama_cpp.llama_backend_init()
    params = llama_cpp.llama_model_default_params()
    params.vocab_only = True
    model = llama_cpp.llama_model_load_from_file(str(path).encode(), params)
    yield Vocabulary(model)
    llama_cpp.llama_model_free(model)


def likeness(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """The cosine of the angle between two vectors."""
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))
