# SPDX-License-Identifier: GPL-3.0-only
"""The engine: continuous batching over llama.cpp's low-level interface.

Each step decides (:mod:`.scheduler`), does (:mod:`.runner`) and accounts (:mod:`.generation`).
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

import msgspec

from modeld import Failed, GenerateRequest, ModeldError, ModelSpec, StepChunk, StepEngine
from modeld.errors import InternalError, NotSupportedError
from modeld.interfaces import ReportProgress
from modeld.requests import AnyRequest, EmbedRequest, RerankRequest
from modeld.responses import AnyUnaryResponse, Chunk, TextResponse, TokenizeResponse
from modeld_llama_cpp.constraints.matching.matcher_cache import Constraints
from modeld_llama_cpp.engine.chat_generation import generation_of
from modeld_llama_cpp.engine.drafting import PromptLookup
from modeld_llama_cpp.engine.generation import Generation
from modeld_llama_cpp.engine.preparation import Preparation
from modeld_llama_cpp.engine.request_reader import Reading, RequestReader, is_constrained
from modeld_llama_cpp.engine.runner import Outcome, Rows, Runner
from modeld_llama_cpp.engine.scheduling import prefix_cache_for, scheduler_for
from modeld_llama_cpp.engine.sequence import Part, Restore, Save
from modeld_llama_cpp.engine.sequence import Sequence as TokenSequence
from modeld_llama_cpp.engine.sequence_memory import MOST_UNSAVED
from modeld_llama_cpp.engine.session_identity import identity
from modeld_llama_cpp.engine.sessions import Sessions
from modeld_llama_cpp.native import model as models
from modeld_llama_cpp.options import LlamaOptions
from modeld_llama_cpp.sampling.parameters import decide
from modeld_llama_cpp.sampling.sampler import Samplers
from modeld_llama_cpp.sizing import estimate
from modeld_llama_cpp.sizing.model_shape import shape_of
from modeld_llama_cpp.tokens.prompts import template_of
from modeld_llama_cpp.tokens.token_tools import TokenTools
from modeld_llama_cpp.tokens.vocabulary import Vocabulary

WAIT_S = 0.005
"""How long an idle step waits for a request to be read: as long as one that comes may wait."""

Produced: TypeAlias = tuple[int, StepChunk | AnyUnaryResponse]


class LlamaEngine(StepEngine):
    """One loaded model that works on all its requests in one batch."""

    close_before_exit = False  # the model's memory and the children go with the worker's process

    def __init__(self, model: models.Model, spec: ModelSpec, options: LlamaOptions) -> None:
        self.slots = options.slots
        self._model = model
        self._vocabulary = Vocabulary(model.weights)
        constraint_bytes = estimate.CONSTRAINT_BYTES_PER_TOKEN * self._vocabulary.size
        saved_bytes = estimate.prefix_cache_bytes(shape_of(spec), options)
        self.held_bytes = model.held_bytes + saved_bytes + constraint_bytes
        self.held_on_gpus = model.held_on_gpus
        self._samplers = Samplers(model.weights, model.context_length)
        template = template_of(model.chat_template, self._vocabulary)
        self._constraints = Constraints(self._vocabulary)
        self._reader = RequestReader(
            self._vocabulary, template, self._samplers, self._constraints, model.context_length
        )
        self._token_tools = TokenTools(self._vocabulary, template)
        self._preparation: Preparation[Reading | TokenizeResponse | TextResponse] = Preparation()
        self._prefix_cache = prefix_cache_for(model, options)
        self._sessions = Sessions(self._prefix_cache, partial(identity, spec, options))
        self._scheduler = scheduler_for(model, options, self._prefix_cache)
        self._runner = Runner(model, self._vocabulary.size, self._save)
        self._clock: Callable[[], float] = time.perf_counter
        self._preparing: dict[int, AnyRequest] = {}
        self._generations: dict[int, Generation] = {}

    @classmethod
    def open(
        cls, spec: ModelSpec, options: Mapping[str, object], progress: ReportProgress
    ) -> LlamaEngine:
        """Load the model and make a context for it.

        Raises:
            ModeldError: the file cannot be used or there is not enough memory; it says why.
        """
        checked = msgspec.convert(options, LlamaOptions)
        return cls(models.load(spec, checked, progress), spec, checked)

    def submit(self, request_id: int, request: AnyRequest) -> None:
        """Check a request and take it on. What takes longer to read is read beside the steps.

        A request about texts and tokens is served beside the steps altogether.

        Raises:
            NotSupportedError: it asks for vectors, and the model was loaded to write.
            ModeldError: something in it is missing or out of range; ``field`` says what.
        """
        if len(self._generations) + len(self._preparing) >= self.slots:
            raise RuntimeError(f"all {self.slots} slots are taken")
        if isinstance(request, GenerateRequest):
            self._submit_generation(request_id, request)
        elif isinstance(request, EmbedRequest | RerankRequest):
            raise NotSupportedError(
                "the model is loaded to write text; to get vectors of it, set `embeddings: true`"
                " for it under `models` in the settings"
            )
        else:
            self._preparing[request_id] = request
            self._preparation.start(request_id, lambda: self._token_tools.respond(request))

    def _submit_generation(self, request_id: int, request: GenerateRequest) -> None:
        choice = decide(request.sampling, self._vocabulary.size)
        if self._reader.is_quick(request, choice):
            assert not self._begin(request_id, request, self._reader.read(request, choice))
        else:
            self._preparing[request_id] = request
            after = self._constraints.ready if is_constrained(request) else None
            self._preparation.start(
                request_id, lambda: self._reader.read_aside(request, choice), after
            )

    def step(self) -> Sequence[Produced]:
        """Compute one batch: a token for every running generation, and pieces of new prompts."""
        produced = self._take_prepared() if self._preparing else []
        if not self._scheduler.busy:
            return produced
        plan = self._scheduler.plan()
        while plan.edits and (failed := self._runner.edit(plan.edits)):
            for edit in plan.edits:  # what llama.cpp does not take back is of no use to anybody
                if isinstance(edit, Restore) and edit.seq_id in failed:
                    self._prefix_cache.remove(edit.saved)
            # A new plan, as this one builds on them. Each round drops a saved one, so this ends.
            self._scheduler.start_over(failed)
            plan = self._scheduler.plan()
        started_s = self._clock()
        match self._runner.compute(plan.parts):
            case Outcome.DONE:
                self._scheduler.account(plan)
                results = self._runner.results()  # which waits for what computes them
                self._scheduler.note_cost(plan, self._clock() - started_s)
                for part, rows in results:
                    self._choose(part, rows, produced)
            case Outcome.ABORTED:
                pass  # nothing was accounted, so the next plan has the same parts again
            case Outcome.NO_ROOM:
                # One gives way to the others; without that, every step would fail like this one.
                self._fail(plan.parts[-1:], "the KV cache has no room, against the count", produced)
            case Outcome.FAILED:
                self._fail(plan.parts, self._runner.last_error, produced)
        return produced

    def pause(self, request_id: int) -> bool:
        """Leave a generation out of the batch.

        What it has in memory stays while nobody needs it.
        """
        generation = self._generations.get(request_id)
        if generation is not None:
            self._scheduler.pause(generation.sequence)
        return generation is not None

    def resume(self, request_id: int) -> None:
        """Take a generation into the batch again."""
        self._scheduler.resume(self._generations[request_id].sequence)

    def cancel(self, request_id: int) -> None:
        """Forget a request wherever it is."""
        if self._preparing.pop(request_id, None) is not None:
            self._preparation.forget(request_id)
        elif request_id in self._generations:
            self._end(request_id)

    def interrupt(self, request_id: int) -> None:
        """Stop the running step if it reads this request's prompt."""
        self._runner.interrupt(request_id)

    def open_sessions(self, path: str, most_bytes: int) -> None:
        """Take over what an earlier engine of this model has saved; keep the states there."""
        self._sessions.open(path, most_bytes)

    def save_sessions(self) -> None:
        """Let the next engine of this model find what ended requests have computed."""
        self._runner.edit(self._scheduler.let_go())
        self._sessions.save()

    def close(self) -> None:
        """Give back the model, the running requests and the children."""
        self._reader.close()
        self._preparation.close()
        for generation in self._generations.values():
            generation.close()
        self._samplers.close()
        self._constraints.close()
        self._sessions.close()
        self._model.close()

    def _take_prepared(self) -> list[Produced]:
        produced: list[Produced] = []
        for request_id, prepared in self._preparation.take(0.0 if self._scheduler.busy else WAIT_S):
            asked = self._preparing.pop(request_id)
            try:
                if isinstance(prepared, ModeldError):
                    raise prepared
                if isinstance(prepared, Reading):
                    assert isinstance(asked, GenerateRequest)
                    chunks = self._begin(request_id, asked, prepared)
                    produced.extend([(request_id, chunk) for chunk in chunks])
                else:
                    produced.append((request_id, prepared))
            except ModeldError as exc:
                produced.append((request_id, Failed.of(exc)))
        return produced

    def _begin(
        self, request_id: int, request: GenerateRequest, reading: Reading
    ) -> Sequence[Chunk]:
        """Take a request into the batch; return what its generation begins with in any case.

        That may be all of it, and then nothing needs to be computed.
        """
        prompt = reading.prompt
        limit = self._model.context_length
        if request.max_tokens is not None:
            limit = min(limit, len(prompt) + request.max_tokens)
        salt = request.cache_salt if request.cache_prompt else None
        sequence = TokenSequence(request_id, prompt, limit, salt)
        sampler = self._samplers.new(reading.choice, reading.matcher)
        if (drafting := self._scheduler.drafting) is not None:
            sequence.lookup = PromptLookup(sampler.count_allowed, drafting.likelihood)
        chunks: list[Chunk] = []
        try:
            generation = generation_of(sequence, request, reading, sampler, self._vocabulary)
            generation.begin(chunks)
        except BaseException:
            sampler.close()
            raise
        if generation.ended:
            sampler.close()
        else:
            self._generations[request_id] = generation
            self._scheduler.add(sequence)
        return chunks

    def _choose(self, part: Part, rows: Rows, produced: list[Produced]) -> None:
        """Let a generation take what was computed for it. Its faults end it and nobody else."""
        request_id = part.sequence.request_id
        generation = self._generations[request_id]
        chunks: list[Chunk] = []
        error: ModeldError | None = None
        try:
            right = generation.take(rows, part.draft, chunks)
        except ModeldError as exc:  # nothing may be chosen for it
            error = exc
        except Exception as exc:  # noqa: BLE001  (one request's fault must not end the others)
            traceback.print_exc()
            error = InternalError(f"no token could be chosen: {exc!r}")
        produced.extend([(request_id, chunk) for chunk in chunks])
        if error is not None:
            produced.append((request_id, Failed.of(error)))
            self._end(request_id, save=False)  # its draft tokens are still in memory
            return
        if part.draft:
            # Counted first, then cut: wrong ones that stay would be attended to as if written.
            self._scheduler.accept(part, right)
            assert part.sequence.seq_id is not None
            self._runner.cut(part.sequence.seq_id, part.sequence.computed)
        if generation.ended:
            self._end(request_id)

    def _fail(self, parts: Iterable[Part], why: str, produced: list[Produced]) -> None:
        failed = Failed.of(InternalError(f"llama.cpp could not compute a batch: {why}"))
        for part in list(parts):
            self._end(part.sequence.request_id, save=False)
            produced.append((part.sequence.request_id, failed))

    def _end(self, request_id: int, *, save: bool = True) -> None:
        generation = self._generations.pop(request_id)
        generation.close()
        sequence = generation.sequence
        if not save or sequence.salt is None or sequence.seq_id is None:
            self._scheduler.remove(sequence)
            return
        may_rest = self._scheduler.may_rest(sequence)
        is_saved = not may_rest or sequence.computed > MOST_UNSAVED
        if is_saved:  # without the last token, which is chosen, but not computed
            tokens = tuple(sequence.tokens[: sequence.computed])
            self._save(Save(sequence.seq_id, tokens, sequence.salt))
        # Only now, as the scheduler gives the id away, under which the state is in memory.
        if may_rest:
            self._scheduler.rest(sequence, is_saved=is_saved)
        else:
            self._scheduler.remove(sequence)

    def _save(self, what: Save) -> None:
        """Save what is in memory of a sequence for others, if that is of any use."""
        if self._prefix_cache.wants(what.tokens, what.salt):
            self._sessions.keep(what.tokens, what.salt, self._runner.save(what.seq_id))
