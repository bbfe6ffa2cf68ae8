# SPDX-License-Identifier: GPL-3.0-only
"""The engine: continuous batching over llama.cpp's low-level interface.

Each step decides (:mod:`.scheduler`), does (:mod:`.runner`) and accounts (:mod:`.answer`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from modeld import Failed, GenerateRequest, ModeldError, ModelSpec, StepChunk, StepEngine
from modeld.errors import InternalError, InvalidRequestError
from modeld.interfaces import ReportProgress
from modeld_llama_cpp import model as models
from modeld_llama_cpp import scheduler as scheduling
from modeld_llama_cpp.answer import Answer
from modeld_llama_cpp.options import LlamaOptions
from modeld_llama_cpp.preparation import Preparation
from modeld_llama_cpp.prompts import PromptReader
from modeld_llama_cpp.runner import Outcome, Runner
from modeld_llama_cpp.sampling import Choice, Sampler, decide
from modeld_llama_cpp.template import ChatTemplate
from modeld_llama_cpp.vocabulary import Vocabulary

SHORT_PROMPT = 2048
"""Prompts of up to so many characters are tokenised at once, in about a millisecond."""

WAIT_S = 0.05
"""How long a step waits for a prompt to be read when there is nothing else to do."""


class LlamaEngine(StepEngine):
    """One loaded model that works on all its requests in one batch."""

    close_before_exit = False  # the model's memory and the template's process go with the worker's

    def __init__(self, model: models.Model, options: LlamaOptions) -> None:
        self.slots = options.slots
        self.held_bytes = model.held_bytes
        self._model = model
        self._vocabulary = Vocabulary(model.weights)
        self._template = ChatTemplate(
            model.chat_template, bos=self._vocabulary.bos_text, eos=self._vocabulary.eos_text
        )
        self._prompts = PromptReader(self._vocabulary, self._template, model.context_length)
        self._preparation = Preparation(self._prompts.read)
        self._scheduler = scheduling.Scheduler(
            cells=model.cells, slots=options.slots, batch=options.step_tokens
        )
        self._runner = Runner(model, options.step_tokens)
        self._preparing: dict[int, tuple[GenerateRequest, Choice]] = {}
        self._answers: dict[int, Answer] = {}
        self._samplers: dict[int, Sampler] = {}

    @classmethod
    def open(
        cls, spec: ModelSpec, options: Mapping[str, object], progress: ReportProgress
    ) -> LlamaEngine:
        """Load the model and make a context for it.

        Raises:
            ModeldError: the file cannot be used or there is not enough memory; it says why.
        """
        checked = msgspec.convert(options, LlamaOptions)
        return cls(models.load(spec, checked, progress), checked)

    def submit(self, request_id: int, request: GenerateRequest) -> None:
        """Check a request and take it on. Chats and long prompts are read beside the steps.

        Raises:
            ModeldError: something in it is missing or out of range; ``field`` says what.
        """
        if len(self._answers) + len(self._preparing) >= self.slots:
            raise RuntimeError(f"all {self.slots} slots are taken")
        _check(request)
        choice = decide(request.sampling)
        if request.messages is None and len(request.prompt or "") <= SHORT_PROMPT:
            self._begin(request_id, request, choice, self._prompts.read(request))
        else:
            self._preparing[request_id] = request, choice
            self._preparation.start(request_id, request)

    def step(self) -> Sequence[tuple[int, StepChunk]]:
        """Compute one batch: a token for every running answer, and pieces of new prompts."""
        chunks = self._take_prepared() if self._preparing else []
        if not self._scheduler.busy:
            return chunks
        plan = self._scheduler.plan()
        for seq_id in plan.dropped:
            self._runner.forget(seq_id)
        match self._runner.compute(plan.parts):
            case Outcome.DONE:
                self._scheduler.account(plan)
                for sequence, token in self._runner.choose(self._samplers):
                    chunks += self._take(sequence.request_id, token)
            case Outcome.ABORTED:
                pass
            case Outcome.NO_ROOM:
                chunks += self._fail(plan.parts[-1:], "the KV cache has no room, against the count")
            case Outcome.FAILED:
                chunks += self._fail(plan.parts, self._runner.last_error)
        return chunks

    def cancel(self, request_id: int) -> None:
        """Forget a request wherever it is."""
        if self._preparing.pop(request_id, None):
            self._preparation.forget(request_id)
        elif request_id in self._answers:
            self._end(request_id)

    def interrupt(self, request_id: int) -> None:
        """Stop the running step if it reads this request's prompt."""
        self._runner.interrupt(request_id)

    def close(self) -> None:
        """Give back the model, the running requests and the template's process."""
        self._template.close()
        self._preparation.close()
        for sampler in self._samplers.values():
            sampler.close()
        self._model.close()

    def _take_prepared(self) -> list[tuple[int, StepChunk]]:
        failed: list[tuple[int, StepChunk]] = []
        for request_id, prepared in self._preparation.take(0.0 if self._scheduler.busy else WAIT_S):
            request, choice = self._preparing.pop(request_id)
            if isinstance(prepared, ModeldError):
                failed.append((request_id, _failed(prepared)))
            else:
                self._begin(request_id, request, choice, prepared)
        return failed

    def _begin(
        self, request_id: int, request: GenerateRequest, choice: Choice, prompt: list[int]
    ) -> None:
        limit = self._model.context_length
        if request.max_tokens is not None:
            limit = min(limit, len(prompt) + request.max_tokens)
        sampler = Sampler(choice, self._vocabulary.size)
        sampler.accept_prompt(prompt)
        sequence = scheduling.Sequence(request_id, prompt, limit)
        self._samplers[request_id] = sampler
        self._answers[request_id] = Answer(sequence, request.stop, self._vocabulary)
        self._scheduler.add(sequence)

    def _take(self, request_id: int, token: int) -> Iterable[tuple[int, StepChunk]]:
        chunks, ended = self._answers[request_id].take(token)
        if ended:
            self._end(request_id)
        return [(request_id, chunk) for chunk in chunks]

    def _fail(self, parts: Iterable[scheduling.Part], why: str) -> Iterable[tuple[int, StepChunk]]:
        failed = _failed(InternalError(f"llama.cpp could not compute a batch: {why}"))
        for part in list(parts):
            self._end(part.sequence.request_id)
            yield part.sequence.request_id, failed

    def _end(self, request_id: int) -> None:
        self._samplers.pop(request_id).close()
        seq_id = self._scheduler.remove(self._answers.pop(request_id).sequence)
        if seq_id is not None:
            self._runner.forget(seq_id)


def _check(request: GenerateRequest) -> None:
    if request.max_tokens is not None and request.max_tokens < 1:
        raise InvalidRequestError(
            f"max_tokens is {request.max_tokens}; it must be at least 1", field="max_tokens"
        )
    if "" in request.stop:
        raise InvalidRequestError("a stop string is empty", field="stop")


def _failed(error: ModeldError) -> Failed:
    return Failed(code=error.code, message=error.message, field=error.field)
