# SPDX-License-Identifier: GPL-3.0-only
"""The engine: continuous batching over llama.cpp's low-level interface.

Each step decides (:mod:`.scheduler`), does (:mod:`.runner`) and accounts (:mod:`.answer`).
"""

from __future__ import annotations

import traceback
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeAlias

import msgspec

from modeld import (
    Done,
    Failed,
    GenerateRequest,
    ModeldError,
    ModelSpec,
    StepChunk,
    StepEngine,
    Token,
)
from modeld.errors import InternalError, InvalidRequestError, NotSupportedError
from modeld.interfaces import ReportProgress
from modeld.questions import AnyQuestion, EmbedQuestion, Reply, RerankQuestion, Text, Tokens
from modeld_llama_cpp import memory
from modeld_llama_cpp import model as models
from modeld_llama_cpp.answer import Answer
from modeld_llama_cpp.asking import Answers
from modeld_llama_cpp.kept import MOST_KEPT, KeptSequences, SavedSequence
from modeld_llama_cpp.lookup import Lookup
from modeld_llama_cpp.options import LlamaOptions
from modeld_llama_cpp.preparation import Preparation
from modeld_llama_cpp.reading import Reading, RequestReader
from modeld_llama_cpp.runner import Outcome, Rows, Runner
from modeld_llama_cpp.sampler import Samplers
from modeld_llama_cpp.sampling import decide
from modeld_llama_cpp.scheduler import Scheduler
from modeld_llama_cpp.sequence import Part, Restore
from modeld_llama_cpp.sequence import Sequence as TokenSequence
from modeld_llama_cpp.template import ChatTemplate
from modeld_llama_cpp.vocabulary import Vocabulary

WAIT_S = 0.005
"""How long a step waits for a request to be read when there is nothing else to do: no longer than a
request that comes meanwhile may wait."""

MOST_LOGPROBS = 20

Produced: TypeAlias = tuple[int, StepChunk | Reply]


class LlamaEngine(StepEngine):
    """One loaded model that works on all its requests in one batch."""

    close_before_exit = False  # the model's memory and the children go with the worker's process

    def __init__(self, model: models.Model, options: LlamaOptions, kept_bytes: int) -> None:
        self.slots = options.slots
        self.held_bytes = model.held_bytes + kept_bytes
        self._model = model
        self._vocabulary = Vocabulary(model.weights)
        self._samplers = Samplers(model.weights, model.context_length)
        template = ChatTemplate(
            model.chat_template, bos=self._vocabulary.bos_text, eos=self._vocabulary.eos_text
        )
        self._reader = RequestReader(
            self._vocabulary, template, self._samplers, model.context_length
        )
        self._questions = Answers(self._vocabulary, template)
        self._preparation: Preparation[Reading | Tokens | Text] = Preparation()
        self._kept = KeptSequences(
            options.kept_tokens(model.context_length),
            options.slots if not model.can_cut else MOST_KEPT,
            in_parts=model.can_cut,
        )
        self._scheduler = Scheduler(
            cells=model.cells,
            slots=options.slots,
            batch=model.batch,
            chunk=options.prefill_chunk,
            kept=self._kept,
            in_parts=model.can_cut,
            guesses=options.draft_tokens if model.can_cut else 0,
        )
        self._runner = Runner(model, self._vocabulary.size)
        self._preparing: dict[int, GenerateRequest | AnyQuestion] = {}
        self._answers: dict[int, Answer] = {}

    @classmethod
    def open(
        cls, spec: ModelSpec, options: Mapping[str, object], progress: ReportProgress
    ) -> LlamaEngine:
        """Load the model and make a context for it.

        Raises:
            ModeldError: the file cannot be used or there is not enough memory; it says why.
        """
        checked = msgspec.convert(options, LlamaOptions)
        kept_bytes = memory.kept_bytes(spec, checked)
        return cls(models.load(spec, checked, progress), checked, kept_bytes)

    def submit(self, request_id: int, request: GenerateRequest) -> None:
        """Check a request and take it on. What takes longer to read is read beside the steps.

        Raises:
            ModeldError: something in it is missing or out of range; ``field`` says what.
        """
        self._check_slot()
        _check(request)
        choice = decide(request.sampling, self._vocabulary.size)
        if self._reader.is_quick(request, choice):
            self._begin(request_id, request, self._reader.read(request, choice))
        else:
            self._preparing[request_id] = request
            self._preparation.start(request_id, lambda: self._reader.read_aside(request, choice))

    def ask(self, request_id: int, question: AnyQuestion) -> None:
        """Take on a question about texts and tokens; it is answered beside the steps.

        Raises:
            NotSupportedError: it asks for vectors, and the model was loaded to write.
        """
        self._check_slot()
        if isinstance(question, EmbedQuestion | RerankQuestion):
            raise NotSupportedError(
                "the model is loaded to write text; to get vectors of it, set `embeddings: true`"
                " for it under `models` in the settings"
            )
        self._preparing[request_id] = question
        self._preparation.start(request_id, lambda: self._questions.answer(question))

    def step(self) -> Sequence[Produced]:
        """Compute one batch: a token for every running answer, and pieces of new prompts."""
        produced = self._take_prepared() if self._preparing else []
        if not self._scheduler.busy:
            return produced
        plan = self._scheduler.plan()
        while plan.edits and (failed := self._runner.edit(plan.edits)):
            for edit in plan.edits:  # what llama.cpp does not take back is of no use to anybody
                if isinstance(edit, Restore) and edit.seq_id in failed:
                    self._kept.remove(edit.saved)
            self._scheduler.start_over(failed)
            plan = self._scheduler.plan()
        match self._runner.compute(plan.parts):
            case Outcome.DONE:
                self._scheduler.account(plan)
                for part, rows in self._runner.results():
                    self._choose(part, rows, produced)
            case Outcome.ABORTED:
                pass
            case Outcome.NO_ROOM:
                self._fail(plan.parts[-1:], "the KV cache has no room, against the count", produced)
            case Outcome.FAILED:
                self._fail(plan.parts, self._runner.last_error, produced)
        return produced

    def cancel(self, request_id: int) -> None:
        """Forget a request wherever it is."""
        if self._preparing.pop(request_id, None) is not None:
            self._preparation.forget(request_id)
        elif request_id in self._answers:
            self._end(request_id)

    def interrupt(self, request_id: int) -> None:
        """Stop the running step if it reads this request's prompt."""
        self._runner.interrupt(request_id)

    def save_sequences(self) -> list[SavedSequence]:
        """What is kept of ended requests, the most recently used first."""
        return list(self._kept)

    def restore_sequences(self, saved: Iterable[SavedSequence]) -> int:
        """Keep what another engine of this model has saved, as far as there is room; how many."""
        return self._kept.extend(saved)

    def close(self) -> None:
        """Give back the model, the running requests and the children."""
        self._reader.close()
        self._preparation.close()
        for answer in self._answers.values():
            answer.close()
        self._samplers.close()
        self._model.close()

    def _check_slot(self) -> None:
        if len(self._answers) + len(self._preparing) >= self.slots:
            raise RuntimeError(f"all {self.slots} slots are taken")

    def _take_prepared(self) -> list[Produced]:
        produced: list[Produced] = []
        for request_id, prepared in self._preparation.take(0.0 if self._scheduler.busy else WAIT_S):
            asked = self._preparing.pop(request_id)
            try:
                if isinstance(prepared, ModeldError):
                    raise prepared
                if isinstance(prepared, Reading):
                    assert isinstance(asked, GenerateRequest)
                    self._begin(request_id, asked, prepared)
                else:
                    produced.append((request_id, prepared))
            except ModeldError as exc:
                produced.append((request_id, _failed(exc)))
        return produced

    def _begin(self, request_id: int, request: GenerateRequest, reading: Reading) -> None:
        prompt = reading.prompt
        limit = self._model.context_length
        if request.max_tokens is not None:
            limit = min(limit, len(prompt) + request.max_tokens)
        salt = request.cache_salt if request.cache_prompt else None
        sequence = TokenSequence(request_id, prompt, limit, salt)
        if self._scheduler.guesses:
            sequence.lookup = Lookup()
        sampler = self._samplers.new(reading.choice, reading.grammar)
        try:
            answer = Answer(sequence, request, sampler, self._vocabulary)
        except BaseException:
            sampler.close()
            raise
        self._answers[request_id] = answer
        self._scheduler.add(sequence)

    def _choose(self, part: Part, rows: Rows, produced: list[Produced]) -> None:
        """Let an answer take what was computed for it. Its faults end it and nobody else."""
        request_id = part.sequence.request_id
        answer = self._answers[request_id]
        chunks: list[Token | Done] = []
        error: ModeldError | None = None
        try:
            right = answer.take(rows, part.guesses, chunks)
        except ModeldError as exc:  # nothing may be chosen for it
            error = exc
        except Exception as exc:  # noqa: BLE001  (one request's fault must not end the others)
            traceback.print_exc()
            error = InternalError(f"no token could be chosen: {exc!r}")
        produced.extend([(request_id, chunk) for chunk in chunks])
        if error is not None:
            produced.append((request_id, _failed(error)))
            self._end(request_id, keep=False)
            return
        if part.guesses:
            self._scheduler.accept(part, right)
            assert part.sequence.seq_id is not None
            self._runner.cut(part.sequence.seq_id, part.sequence.computed)
        if answer.ended:
            self._end(request_id)

    def _fail(self, parts: Iterable[Part], why: str, produced: list[Produced]) -> None:
        failed = _failed(InternalError(f"llama.cpp could not compute a batch: {why}"))
        for part in list(parts):
            self._end(part.sequence.request_id, keep=False)
            produced.append((part.sequence.request_id, failed))

    def _end(self, request_id: int, *, keep: bool = True) -> None:
        answer = self._answers.pop(request_id)
        answer.close()
        if keep:
            self._keep(answer.sequence)
        self._scheduler.remove(answer.sequence)

    def _keep(self, sequence: TokenSequence) -> None:
        """Keep what is computed of a sequence for others, if that is allowed and of any use."""
        salt, seq_id = sequence.salt, sequence.seq_id
        if salt is None or seq_id is None:
            return
        tokens = tuple(sequence.tokens[: sequence.computed])
        if self._kept.wants(tokens, salt):
            state = self._runner.save(seq_id)
            self._kept.add(SavedSequence(tokens=tokens, salt=salt, state=state))


def _check(request: GenerateRequest) -> None:
    if request.max_tokens is not None and request.max_tokens < 1:
        raise InvalidRequestError(
            f"max_tokens is {request.max_tokens}; it must be at least 1", field="max_tokens"
        )
    if request.logprobs is not None and not 0 <= request.logprobs <= MOST_LOGPROBS:
        raise InvalidRequestError(
            f"logprobs is {request.logprobs}; it must be from 0 to {MOST_LOGPROBS}",
            field="logprobs",
        )
    if "" in request.stop:
        raise InvalidRequestError("a stop string is empty", field="stop")


def _failed(error: ModeldError) -> Failed:
    return Failed(code=error.code, message=error.message, field=error.field)
