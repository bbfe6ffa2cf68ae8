# SPDX-License-Identifier: GPL-3.0-only
"""The engine of a model that is loaded for vectors instead of text.

Each step decides (:mod:`.packer`), does (:mod:`.runner`) and accounts (:mod:`.vectors`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import llama_cpp
import msgspec

from modeld import Failed, GenerateRequest, ModeldError, ModelSpec, StepChunk, StepEngine
from modeld.errors import InternalError, InvalidRequestError, NotSupportedError
from modeld.interfaces import ReportProgress
from modeld.requests import AnyRequest, AnyUnaryRequest, EmbedRequest, RerankRequest
from modeld.responses import AnyUnaryResponse, TextResponse, TokenizeResponse
from modeld_llama_cpp.embedding.inputs import InputReader
from modeld_llama_cpp.embedding.packer import Packer, Part
from modeld_llama_cpp.embedding.runner import EmbeddingRunner
from modeld_llama_cpp.embedding.vectors import VectorRequest, Vectors
from modeld_llama_cpp.engine.preparation import Preparation
from modeld_llama_cpp.native import model as models
from modeld_llama_cpp.options import LlamaOptions
from modeld_llama_cpp.tokens.prompts import template_of
from modeld_llama_cpp.tokens.token_tools import TokenTools
from modeld_llama_cpp.tokens.vocabulary import Vocabulary

SHORT_TEXTS = 2048
"""Texts of up to so many characters together are tokenised at once, in about a millisecond."""

MOST_INPUTS = 2048
"""So many texts may one request have."""

MOST_NUMBERS = 1 << 21
"""So many numbers may one response have, which are about 20 MB on their way to the client."""

WAIT_S = 0.05
"""How long a step waits for texts to be tokenised when there is nothing else to do."""

Results: TypeAlias = list[tuple[int, StepChunk | AnyUnaryResponse]]


class EmbeddingEngine(StepEngine):
    """One loaded model that works on the inputs of all its requests in one batch."""

    close_before_exit = False  # the model's memory and the template's process go with the worker's

    def __init__(self, spec: ModelSpec, model: models.Model, options: LlamaOptions) -> None:
        self.slots = options.slots
        self.held_bytes = model.held_bytes
        self.held_on_gpus = model.held_on_gpus
        self._id = spec.id
        self._model = model
        vocabulary = Vocabulary(model.weights)
        self._template = template_of(model.chat_template, vocabulary)
        self._token_tools = TokenTools(vocabulary, self._template)
        self._runner = EmbeddingRunner(model, options.step_tokens)
        self._packer = Packer(self._runner.limits)
        pair_template = llama_cpp.llama_model_chat_template(model.weights, b"rerank")
        self._inputs = InputReader(
            vocabulary,
            self._runner.limits.longest,
            pair_template.decode(errors="replace") if pair_template else None,
        )
        self._preparation: Preparation[list[list[int]] | TokenizeResponse | TextResponse] = (
            Preparation()
        )
        self._preparing: dict[int, AnyUnaryRequest] = {}
        self._computing: dict[int, Vectors] = {}

    @classmethod
    def open(
        cls, spec: ModelSpec, options: Mapping[str, object], progress: ReportProgress
    ) -> EmbeddingEngine:
        """Load the model and make a context for it.

        Raises:
            ModeldError: the file cannot be used or there is not enough memory; it says why.
        """
        checked = msgspec.convert(options, LlamaOptions)
        return cls(spec, models.load_for_embeddings(spec, checked, progress), checked)

    def submit(self, request_id: int, request: AnyRequest) -> None:
        """Check a request and take it on. All but a few short texts are read beside the steps.

        Raises:
            NotSupportedError: text is asked of it, or scores of a model that has none, or vectors
                of one that has only scores.
            ModeldError: a text is missing, too long or one too many.
        """
        if isinstance(request, GenerateRequest):
            raise NotSupportedError(
                f"{self._id} is loaded for embeddings and writes no text; if it can, set the option"
                " `embeddings: false` for it"
            )
        if len(self._computing) + len(self._preparing) >= self.slots:
            raise RuntimeError(f"all {self.slots} slots are taken")
        if isinstance(request, EmbedRequest | RerankRequest):
            self._check(request)
            if _characters(request) <= SHORT_TEXTS:
                self._begin(request_id, request, self._inputs.read(request))
                return
            self._preparation.start(request_id, lambda: self._inputs.read(request))
        else:
            self._preparation.start(request_id, lambda: self._token_tools.respond(request))
        self._preparing[request_id] = request

    def step(self) -> Results:
        """Compute one batch of inputs, of all requests in rotation."""
        results = self._take_prepared() if self._preparing else []
        if not self._packer.busy:
            return results
        parts = self._packer.plan()
        try:
            done = self._runner.compute(parts)
        except InternalError as exc:
            return results + self._fail(parts, exc)
        if done:
            self._packer.account(parts)
            results += self._take(parts)
        return results

    def cancel(self, request_id: int) -> None:
        """Forget a request wherever it is."""
        if self._preparing.pop(request_id, None):
            self._preparation.forget(request_id)
        elif request_id in self._computing:
            self._end(request_id)

    def interrupt(self, request_id: int) -> None:
        """Stop the running step if it computes nothing but this request's inputs."""
        self._runner.interrupt(request_id)

    def close(self) -> None:
        """Give back the model and the template's process."""
        self._template.close()
        self._preparation.close()
        self._model.close()

    def _check(self, request: VectorRequest) -> None:
        """Refuse what this model cannot make, and too many texts at once."""
        ranks = self._model.pooling == "rank"
        if isinstance(request, EmbedRequest):
            if ranks:
                raise NotSupportedError(
                    f"{self._id} scores documents and has no vectors; its pooling is rank"
                )
            most = min(MOST_INPUTS, MOST_NUMBERS // self._runner.width)
            _check_number("input", len(request.inputs), most)
            return
        if not ranks:
            raise NotSupportedError(
                f"{self._id} makes vectors and cannot score documents: its pooling is"
                f" {self._model.pooling}, not rank"
            )
        _check_number("documents", len(request.documents), MOST_INPUTS)

    def _take_prepared(self) -> Results:
        results: Results = []
        for request_id, prepared in self._preparation.take(0.0 if self._packer.busy else WAIT_S):
            request = self._preparing.pop(request_id)
            if isinstance(prepared, ModeldError):
                results.append((request_id, Failed.of(prepared)))
            elif isinstance(prepared, TokenizeResponse | TextResponse):
                results.append((request_id, prepared))
            else:
                assert isinstance(request, EmbedRequest | RerankRequest)
                self._begin(request_id, request, prepared)
        return results

    def _begin(
        self, request_id: int, request: VectorRequest, inputs: Sequence[Sequence[int]]
    ) -> None:
        self._computing[request_id] = Vectors(
            request,
            inputs,
            self._runner.width,
            averages=self._model.pooling == "mean",
            first=self._model.pooling == "cls",
        )
        self._packer.add(request_id, inputs)

    def _take(self, parts: Iterable[Part]) -> Results:
        """Read the vectors of a batch that is done and return the responses that are complete."""
        results: Results = []
        for part in parts:
            request_id = part.input.request_id
            if self._computing[request_id].take(part, self._runner.vector(part)):
                results.append((request_id, self._respond(request_id)))
        return results

    def _respond(self, request_id: int) -> AnyUnaryResponse | Failed:
        try:
            return self._computing.pop(request_id).response()
        except ModeldError as exc:
            return Failed.of(exc)

    def _fail(self, parts: Iterable[Part], error: ModeldError) -> Results:
        request_ids = {part.input.request_id for part in parts}
        for request_id in request_ids:
            self._end(request_id)
        return [(request_id, Failed.of(error)) for request_id in request_ids]

    def _end(self, request_id: int) -> None:
        del self._computing[request_id]
        self._packer.remove(request_id)


def _characters(request: VectorRequest) -> int:
    """Return how much there is to tokenise; a query counts as often as there are documents."""
    if isinstance(request, EmbedRequest):
        return sum(map(len, request.inputs))
    return len(request.query) * len(request.documents) + sum(map(len, request.documents))


def _check_number(field: str, number: int, most: int) -> None:
    if not number:
        raise InvalidRequestError(f"{field} is empty; it must have at least one text", field=field)
    if number > most:
        raise InvalidRequestError(
            f"{field} has {number} texts; this model takes at most {most} of them at once",
            field=field,
        )
