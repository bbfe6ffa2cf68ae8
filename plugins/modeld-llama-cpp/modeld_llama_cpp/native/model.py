# SPDX-License-Identifier: GPL-3.0-only
"""A model in memory: its weights, its context and what it holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import llama_cpp

from modeld import ModelSpec
from modeld.errors import InvalidModelError, LoadFailedError
from modeld.interfaces import ReportProgress
from modeld_llama_cpp.chat import named_template
from modeld_llama_cpp.chat.template_option import NAMES
from modeld_llama_cpp.native import buffers, contexts, heap, lora, native_log
from modeld_llama_cpp.native import weights as weights_
from modeld_llama_cpp.options import LlamaOptions
from modeld_llama_cpp.sizing.context_size import ContextSize, Pooling


@dataclass(slots=True)
class Model:
    """The objects of llama.cpp's that make a loaded model, as plain pointers.

    ``context_length`` is the most tokens of one request, ``cells`` the size of the KV cache in
    tokens, ``sequences`` how many sequence ids there are. ``can_cut`` says whether the end of a
    sequence can be taken out of memory or shared with another one, which a recurrent state does
    not allow. ``is_repacked`` says whether some of its weights were laid out anew for the
    processor, whose kernels take several tokens at once then. ``pooling`` is how the tokens'
    vectors become one, ``None`` for a model that writes text; ``batch`` is the most tokens of one
    call.
    """

    weights: int
    context: int
    context_length: int
    cells: int
    batch: int
    sequences: int
    can_cut: bool
    is_repacked: bool
    chat_template: str | None
    pooling: Pooling | None
    adapters: Sequence[int]
    held_bytes: int
    held_on_gpus: Mapping[str, int]

    def close(self) -> None:
        """Give all memory back."""
        # Each before what it uses; freed weights would take their adapters along.
        llama_cpp.llama_free(self.context)
        lora.free(self.adapters)
        llama_cpp.llama_model_free(self.weights)


def load(spec: ModelSpec, options: LlamaOptions, progress: ReportProgress) -> Model:
    """Load a model that writes text.

    Raises:
        InvalidModelError: the file cannot be used; the message says why, in llama.cpp's words.
        LoadFailedError: there is not enough memory, or llama.cpp gave up for another reason.
    """
    return _load(spec, options, progress, contexts.size_for_text)


def load_for_embeddings(spec: ModelSpec, options: LlamaOptions, progress: ReportProgress) -> Model:
    """Load a model that makes a vector of a text.

    Raises:
        InvalidModelError: as :func:`load`.
        LoadFailedError: as :func:`load`.
    """
    return _load(spec, options, progress, contexts.size_for_vectors)


def _load(
    spec: ModelSpec,
    options: LlamaOptions,
    progress: ReportProgress,
    size_for: Callable[[int, LlamaOptions], ContextSize],
) -> Model:
    template = _own_template(spec, options)
    native_log.install()
    llama_cpp.llama_backend_init()
    heap_before = heap.used_bytes()
    with native_log.captured() as lines, ExitStack() as undo:
        weights = weights_.load(spec, options, progress, lines)
        undo.callback(llama_cpp.llama_model_free, weights)
        beside_weights = buffers.beside_weights(lines, heap.used_bytes() - heap_before)
        size = size_for(weights, options)
        _check_purpose(weights, spec, size)
        # Before the context, which lays out its graphs for all adapters that there are by then.
        adapters = lora.load(weights, spec, options, lines)
        undo.callback(lora.free, adapters)
        context = contexts.make(weights, spec, options, size, lines)
        undo.callback(llama_cpp.llama_free, context)
        _check_memory(context, spec, size)
        lora.apply(context, adapters, spec, options)
        undo.pop_all()
    cells = llama_cpp.llama_n_ctx(context)
    can_cut = contexts.can_cut(weights)
    found = list(buffers.buffers(lines))
    return Model(
        weights=weights,
        context=context,
        context_length=contexts.most_positions(weights, min(size.context, cells)),
        cells=cells,
        batch=size.batch,
        sequences=size.sequences,
        can_cut=can_cut,
        is_repacked=any(buffer.is_repacked for buffer in found),
        chat_template=_template_of(weights) if template is None else template,
        pooling=size.pooling,
        adapters=adapters,
        held_bytes=beside_weights + buffers.held_bytes(lines, llama_cpp.llama_model_size(weights)),
        held_on_gpus=buffers.on_gpus(found),
    )


def _own_template(spec: ModelSpec, options: LlamaOptions) -> str | None:
    if options.chat_template_file is None:
        if options.chat_template in NAMES and options.chat_template not in named_template.names():
            raise LoadFailedError(
                f"{spec.id}: this build of llama.cpp has no chat_template {options.chat_template!r}"
            )
        return options.chat_template
    path = Path(options.chat_template_file).expanduser()
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8 text"
        raise LoadFailedError(
            f"{spec.id}: the chat_template_file {path.name!r} cannot be read: {reason}"
        ) from exc


def _template_of(weights: int) -> str | None:
    template = llama_cpp.llama_model_chat_template(weights, None)
    return template.decode(errors="replace") if template else None


def _check_purpose(weights: int, spec: ModelSpec, size: ContextSize) -> None:
    if llama_cpp.llama_model_has_encoder(weights) or llama_cpp.llama_model_is_diffusion(weights):
        what = "write text token by token" if size.pooling is None else "make vectors of texts"
        raise InvalidModelError(f"{spec.id}: models of the family {spec.family!r} do not {what}")


def _check_memory(context: int, spec: ModelSpec, size: ContextSize) -> None:
    """Refuse to write with an encoder: it keeps no tokens in memory that it could go on from."""
    if size.pooling is None and not llama_cpp.llama_get_memory(context):
        raise InvalidModelError(
            f"{spec.id}: models of the family {spec.family!r} make vectors and do not write text;"
            " leave the option `embeddings` unset or set it to true"
        )
