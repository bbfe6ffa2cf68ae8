# SPDX-License-Identifier: GPL-3.0-only
"""A model in memory: its weights, its context and what it holds."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

import llama_cpp

from modeld import ModelSpec
from modeld.errors import InvalidModelError, LoadFailedError, ModeldError
from modeld.interfaces import ReportProgress
from modeld_llama_cpp import native_log
from modeld_llama_cpp.cores import usable_cores
from modeld_llama_cpp.options import LlamaOptions

_BUFFER_SIZE = re.compile(r"buffer size = +([0-9.]+) MiB")
_PREFIX = re.compile(r"^(\w+: (error loading model: )?)+")
_MEMORY = re.compile(r"memory|alloc|mmap|mlock", re.IGNORECASE)
_MAX_CAUSE = 500

_LOAD_MODES = {
    (False, False): llama_cpp.LLAMA_LOAD_MODE_NONE,
    (True, False): llama_cpp.LLAMA_LOAD_MODE_MMAP,
    (False, True): llama_cpp.LLAMA_LOAD_MODE_MLOCK,
    (True, True): llama_cpp.LLAMA_LOAD_MODE_MMAP_MLOCK,
}


@dataclass(slots=True)
class Model:
    """The two objects of llama.cpp's that make a loaded model, as plain pointers.

    ``context_length`` is the most tokens of one request, ``cells`` the size of the KV cache in
    tokens. ``can_cut`` says whether the end of a sequence can be taken out of memory, which a
    recurrent state does not allow.
    """

    weights: int
    context: int
    context_length: int
    cells: int
    can_cut: bool
    chat_template: str | None
    held_bytes: int

    def close(self) -> None:
        """Give all memory back."""
        llama_cpp.llama_free(self.context)
        llama_cpp.llama_model_free(self.weights)


def load(spec: ModelSpec, options: LlamaOptions, progress: ReportProgress) -> Model:
    """Load the weights and make a context.

    Raises:
        InvalidModelError: the file cannot be used; the message says why, in llama.cpp's words.
        LoadFailedError: there is not enough memory, or llama.cpp gave up for another reason.
    """
    native_log.install()
    llama_cpp.llama_backend_init()
    with native_log.captured() as lines:
        weights = _load_weights(spec, options, progress, lines)
        try:
            _check_writes_text(weights, spec)
            context_length = options.context_for(llama_cpp.llama_model_n_ctx_train(weights))
            context = _make_context(weights, spec, options, context_length, lines)
        except ModeldError:
            llama_cpp.llama_model_free(weights)
            raise
    template = llama_cpp.llama_model_chat_template(weights, None)
    cells = llama_cpp.llama_n_ctx(context)
    return Model(
        weights=weights,
        context=context,
        context_length=min(context_length, cells),
        cells=cells,
        can_cut=not (
            llama_cpp.llama_model_is_recurrent(weights) or llama_cpp.llama_model_is_hybrid(weights)
        ),
        chat_template=template.decode(errors="replace") if template else None,
        held_bytes=measured_bytes(lines),
    )


def measured_bytes(lines: Sequence[native_log.Line]) -> int:
    """The sum of the buffers that llama.cpp says it has allocated or mapped, in bytes."""
    sizes = [size for line in lines for size in _BUFFER_SIZE.findall(line.text)]
    return round(sum(map(float, sizes)) * (1 << 20))


def cause(lines: Sequence[native_log.Line], spec: ModelSpec) -> str:
    """Why a load failed, from the errors that llama.cpp logged, without the file's path."""
    reasons = [
        _PREFIX.sub("", line.text.strip()).replace(spec.path, spec.id)
        for line in lines
        if line.is_error and "failed to load model" not in line.text
    ]
    return "; ".join(reasons)[:_MAX_CAUSE] or "llama.cpp did not say why"


class _Progress:
    """Passes progress on; an exception out of it ends the load."""

    def __init__(self, report: ReportProgress) -> None:
        self._report = report
        self.failure: BaseException | None = None
        self.callback = llama_cpp.llama_progress_callback(self._on_progress)

    def _on_progress(self, fraction: float, _user_data: object) -> bool:
        try:
            self._report(min(max(fraction, 0.0), 1.0))
        except BaseException as exc:  # noqa: BLE001  (raised again as soon as llama.cpp returns)
            self.failure = exc
        return self.failure is None


def _load_weights(
    spec: ModelSpec,
    options: LlamaOptions,
    progress: ReportProgress,
    lines: Sequence[native_log.Line],
) -> int:
    reporter = _Progress(progress)
    params = llama_cpp.llama_model_default_params()
    params.n_gpu_layers = -1 if options.gpu_layers is None else options.gpu_layers
    params.load_mode = _LOAD_MODES[options.mmap, options.mlock]
    params.progress_callback = reporter.callback
    weights: int | None = llama_cpp.llama_model_load_from_file(os.fsencode(spec.path), params)
    if reporter.failure is not None:
        if weights:
            llama_cpp.llama_model_free(weights)
        raise reporter.failure
    if not weights:
        why = cause(lines, spec)
        error = LoadFailedError if _MEMORY.search(why) else InvalidModelError
        raise error(f"{spec.id}: {why}")
    return weights


def _check_writes_text(weights: int, spec: ModelSpec) -> None:
    if llama_cpp.llama_model_has_encoder(weights) or llama_cpp.llama_model_is_diffusion(weights):
        raise InvalidModelError(
            f"{spec.id}: models of the family {spec.family!r} do not write text token by token"
        )


def _make_context(
    weights: int,
    spec: ModelSpec,
    options: LlamaOptions,
    context_length: int,
    lines: Sequence[native_log.Line],
) -> int:
    threads = options.threads or usable_cores()
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = context_length
    params.n_batch = options.step_tokens
    params.n_ubatch = min(options.ubatch, options.step_tokens)
    params.n_seq_max = options.slots
    params.n_outputs_max = options.slots  # otherwise logits are laid out for every token of a batch
    params.n_threads = threads
    params.n_threads_batch = threads
    params.kv_unified = True
    params.swa_full = True  # a window that forgets cannot be cut back after an abort
    context: int | None = llama_cpp.llama_init_from_model(weights, params)
    if not context:
        raise LoadFailedError(
            f"{spec.id}: no context of {context_length} tokens for {options.slots} slots:"
            f" {cause(lines, spec)}"
        )
    return context
