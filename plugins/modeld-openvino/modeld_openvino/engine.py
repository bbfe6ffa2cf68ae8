# SPDX-License-Identifier: GPL-3.0-only
"""The engine: OpenVINO GenAI's own continuous batching, one step of it for each of modeld's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import numpy as np

from modeld import GenerateRequest, ModelSpec, StepChunk, StepEngine
from modeld.errors import (
    InvalidModelError,
    InvalidRequestError,
    LoadFailedError,
    PromptRequiredError,
    PromptTooLongError,
)
from modeld.interfaces import ReportProgress
from modeld.requests import (
    AnyRequest,
    ApplyTemplateRequest,
    DetokenizeRequest,
    TokenizeRequest,
    not_supported,
)
from modeld.responses import AnyUnaryResponse, TextResponse, TokenizeResponse
from modeld_openvino import memory, shape
from modeld_openvino.chat import ChatTemplate
from modeld_openvino.devices import available
from modeld_openvino.generation import Generation
from modeld_openvino.options import OpenVinoOptions
from modeld_openvino.runtime import genai, openvino
from modeld_openvino.sampling import configure
from modeld_openvino.vocabulary import Vocabulary, check_text, joined

Produced: TypeAlias = tuple[int, StepChunk | AnyUnaryResponse]


class OpenVinoEngine(StepEngine):
    """One loaded model. OpenVINO decides what each step computes; modeld asks for the steps."""

    close_before_exit = False  # the end of the process gives all of it back

    def __init__(
        self, pipeline: Any, vocabulary: Vocabulary, *, slots: int, context: int, held_bytes: int
    ) -> None:
        self.slots = slots
        self.held_bytes = held_bytes
        self._pipeline = pipeline
        self._vocabulary = vocabulary
        self._template = ChatTemplate(pipeline.get_tokenizer(), vocabulary)
        self._context = context
        self._new: dict[int, Callable[[], Generation]] = {}
        self._running: dict[int, Generation] = {}
        self._responses: dict[int, AnyUnaryResponse] = {}

    @classmethod
    def open(
        cls, spec: ModelSpec, options: Mapping[str, object], progress: ReportProgress
    ) -> OpenVinoEngine:
        """Load the model and compute one token with it, which lays out the memory.

        Raises:
            LoadFailedError: OpenVINO cannot load it; the message says why.
        """
        checked = msgspec.convert(options, OpenVinoOptions)
        _check_device(spec, checked)
        context, before_bytes = shape.context(spec, checked), memory.resident_bytes()
        try:
            tokenizer = genai.Tokenizer(_path_of(spec))
            progress(0.3)
            pipeline = _pipeline_of(spec, checked, tokenizer)
            progress(0.9)
            vocabulary = Vocabulary(tokenizer)
            _warm_up(pipeline)
            _check_context(spec, context, vocabulary)
        except IndexError as exc:  # all that OpenVINO says of it is "unordered_map::at"
            why = "something that it looks for is not in the file"
            raise LoadFailedError(f"{spec.id}: OpenVINO could not load it: {why}") from exc
        except RuntimeError as exc:
            raise LoadFailedError(f"{spec.id}: OpenVINO could not load it: {exc}") from exc
        held_bytes = 0
        if checked.device == "CPU" and before_bytes:
            cache_bytes = pipeline.get_metrics().cache_size_in_bytes
            held_bytes = memory.resident_bytes() - before_bytes + cache_bytes
        progress(1.0)
        return cls(
            pipeline, vocabulary, slots=checked.slots, context=context, held_bytes=held_bytes
        )

    def submit(self, request_id: int, request: AnyRequest) -> None:
        """Take a request on. One about texts and tokens has its response with the next step.

        Raises:
            NotSupportedError: it is of another kind.
            ModeldError: something in it is missing or out of range; ``field`` says what.
        """
        if len(self._new) + len(self._running) + len(self._responses) >= self.slots:
            raise RuntimeError(f"all {self.slots} slots are taken")
        match request:
            case GenerateRequest():
                self._new[request_id] = self._prepared(request_id, request)
            case TokenizeRequest():
                self._responses[request_id] = self._tokenized(request)
            case DetokenizeRequest():
                self._vocabulary.check(request.tokens, "tokens")
                text = joined([self._vocabulary.piece(token) for token in request.tokens])
                self._responses[request_id] = TextResponse(text=text)
            case ApplyTemplateRequest():
                text = self._template.render(request.messages)
                self._responses[request_id] = TextResponse(text=text)
            case _:
                raise not_supported(request)

    def step(self) -> Sequence[Produced]:
        """Let OpenVINO compute one step, and return what came of it."""
        produced: list[Produced] = list(self._responses.items())
        self._responses.clear()
        self._take_in()
        if not self._running:
            return produced
        self._pipeline.step()
        for request_id, generation in list(self._running.items()):
            produced += [(request_id, chunk) for chunk in generation.take()]
            if generation.ended:
                del self._running[request_id]
        self._forget_ended()
        return produced

    def cancel(self, request_id: int) -> None:
        """Forget a request and give back its part of the cache."""
        self._responses.pop(request_id, None)
        self._new.pop(request_id, None)
        generation = self._running.pop(request_id, None)
        if generation is not None:
            generation.cancel()
            self._forget_ended()

    def close(self) -> None:
        """Give back the model."""
        self._running.clear()
        del self._pipeline

    def _take_in(self) -> None:
        """Hand the new requests to OpenVINO.

        Not before the step: a step in which it can compute nothing ends all requests that it has.
        What a cancelled one holds is free after the next step only, and with nobody else running
        a new one could be without room in that.
        """
        for request_id, begin in self._new.items():
            self._running[request_id] = begin()
        self._new.clear()

    def _forget_ended(self) -> None:
        """Let OpenVINO give back what cancelled requests hold, where no step would follow.

        It does so in its next step, which computes nothing where there is nothing else to do.
        """
        if not self._running and self._pipeline.has_non_finished_requests():
            self._pipeline.step()

    def _prepared(self, request_id: int, request: GenerateRequest) -> Callable[[], Generation]:
        """Check a request, and return what hands it to OpenVINO."""
        prompt = self._prompt(request)
        config = self._pipeline.get_config()
        config.apply_chat_template = False
        left = self._context - len(prompt)
        config.max_new_tokens = min(left, request.max_tokens or left)
        configure(config, request.sampling)
        specials = self._vocabulary.specials
        stop_tokens = {specials[text]: text for text in request.stop if text in specials}

        def begin() -> Generation:
            handle = self._pipeline.add_request(request_id, _tensor(prompt), config)
            return Generation(handle, request, len(prompt), self._vocabulary, stop_tokens)

        return begin

    def _prompt(self, request: GenerateRequest) -> Sequence[int]:
        """Return the tokens of a request's prompt.

        Raises:
            PromptRequiredError: there are none.
            PromptTooLongError: they leave no space in the context for even one more token.
            ModeldError: the chat template is missing or failed, or a token is none.
        """
        if request.prompt_tokens is not None:
            field, tokens = "prompt_tokens", list(request.prompt_tokens)
            self._vocabulary.check(tokens, field)
        elif request.messages is not None:
            field, tokens = "messages", self._template.tokens(request.messages)
        else:
            field, text = "prompt", request.prompt or ""
            check_text(text, field)
            tokens = self._vocabulary.tokens(text, add_special=True)
        if not tokens:
            raise PromptRequiredError("the prompt is empty", field=field)
        if len(tokens) >= self._context:
            least = "at least " if len(tokens) >= self._vocabulary.limit else ""
            raise PromptTooLongError(
                f"the prompt has {least}{len(tokens)} tokens and the context {self._context}, of"
                " which one must be left for the generation; shorten the prompt or set a larger"
                " `context`",
                field=field,
            )
        return tokens

    def _tokenized(self, request: TokenizeRequest) -> TokenizeResponse:
        check_text(request.text, "content")
        ids = self._vocabulary.tokens(
            request.text, add_special=request.add_special, parse_special=request.parse_special
        )
        if len(ids) >= self._vocabulary.limit:
            raise InvalidRequestError(
                f"content has at least {len(ids)} tokens; the model's tokenizer takes fewer",
                field="content",
            )
        pieces = map(self._vocabulary.piece, ids if request.with_pieces else ())
        return TokenizeResponse(ids=tuple(ids), pieces=tuple(pieces))


def _path_of(spec: ModelSpec) -> str:
    """Return what OpenVINO is given: the folder of an OpenVINO model, or a GGUF file.

    Raises:
        InvalidModelError: there is no such file.
    """
    path = Path(spec.path)
    if not path.is_file():
        raise InvalidModelError(f"{spec.id}: there is no file {spec.path!r}")
    return str(path.parent if spec.format == shape.OPENVINO else path)


def _pipeline_of(spec: ModelSpec, options: OpenVinoOptions, tokenizer: Any) -> Any:
    scheduling = genai.SchedulerConfig()
    scheduling.num_kv_blocks = shape.blocks(spec, options)
    scheduling.max_num_seqs = options.slots
    scheduling.max_num_batched_tokens = options.batch
    scheduling.dynamic_split_fuse = True
    scheduling.enable_prefix_caching = False  # it knows no salts: who comes next would see it
    properties: dict[str, object] = {"KV_CACHE_PRECISION": options.cache_type}
    if options.threads is not None:
        properties["INFERENCE_NUM_THREADS"] = options.threads
    return genai.ContinuousBatchingPipeline(
        _path_of(spec), tokenizer, scheduling, options.device, **properties
    )


def _check_device(spec: ModelSpec, options: OpenVinoOptions) -> None:
    """Refuse a device that OpenVINO does not have here; what it says of one itself helps nobody.

    Raises:
        LoadFailedError: it has not.
    """
    devices = available()
    if not options.has_device(devices):
        raise LoadFailedError(
            f"{spec.id}: OpenVINO has no device {options.device!r} here; set the option `device` to"
            f" one of {', '.join(devices)}"
        )


def _check_context(spec: ModelSpec, context: int, vocabulary: Vocabulary) -> None:
    """Refuse a context that is longer than what the tokenizer reads of a prompt.

    Raises:
        LoadFailedError: it is.
    """
    if context > vocabulary.limit:
        raise LoadFailedError(
            f"{spec.id}: the model's tokenizer cuts prompts off after {vocabulary.limit} tokens;"
            f" set the option `context`, which is {context}, to that or less"
        )


def _warm_up(pipeline: Any) -> None:
    """Compute one token. The first step takes longest, and has the cache made."""
    config = pipeline.get_config()
    config.max_new_tokens, config.ignore_eos = 1, True
    handle = pipeline.add_request(0, _tensor([0]), config)
    while pipeline.has_non_finished_requests():
        pipeline.step()
    handle.read_all()


def _tensor(tokens: Sequence[int]) -> Any:
    return openvino.Tensor(np.array([tokens], dtype=np.int64))
