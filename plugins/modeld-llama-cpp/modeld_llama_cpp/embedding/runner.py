# SPDX-License-Identifier: GPL-3.0-only
"""Does what the packer decided: fills a batch, computes it, reads the vectors."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import llama_cpp
import numpy as np

from modeld.errors import InternalError
from modeld_llama_cpp.embedding.packer import Limits, Part
from modeld_llama_cpp.embedding.vectors import Vector
from modeld_llama_cpp.native import native_log
from modeld_llama_cpp.native.abort import AbortFlag
from modeld_llama_cpp.native.model import Model

_ABORTED = 2


class EmbeddingRunner:
    """Works on one model's context. One thread; only :meth:`interrupt` comes from others."""

    def __init__(self, model: Model, step_tokens: int) -> None:
        context = model.context
        self._context = context
        self._memory = llama_cpp.llama_get_memory(context)  # an encoder has none
        self.limits = self._read_limits(model.context_length, step_tokens)
        self.width = int(
            llama_cpp.llama_model_n_cls_out(model.weights)
            if model.pooling == "rank"
            else llama_cpp.llama_model_n_embd_out(model.weights)
        )
        self._batch = _Batch(llama_cpp.llama_n_ubatch(context))
        self._abort = AbortFlag()
        self._can_abort = (not self._memory or model.can_cut) and self._abort.attach(context)
        self._interruptible: int | None = None

    def compute(self, parts: Sequence[Part]) -> bool:
        """Run the batch through the model and return whether it was done, or interrupted.

        A batch that was interrupted has left no trace.

        Raises:
            InternalError: llama.cpp could not compute it; what has been begun must be given up.
        """
        self._forget_all_but(parts[0])
        self._batch.fill(parts)
        self._abort.clear()
        request_ids = {part.input.request_id for part in parts}
        if self._can_abort and len(request_ids) == 1:
            self._interruptible = parts[0].input.request_id
        with native_log.Withheld() as lines:
            code: int = llama_cpp.llama_decode(self._context, self._batch.native)
        self._interruptible = None
        if code in {0, _ABORTED}:
            return code == 0
        for line in lines:
            native_log.write(line)
        said = (line.text.strip() for line in lines if line.is_error)
        why = next(said, f"llama_decode returned {code}")
        raise InternalError(f"llama.cpp could not compute a batch: {why}")

    def vector(self, part: Part) -> Vector:
        """Return the pooled vector of a part's tokens, a view that holds until the next batch."""
        numbers = llama_cpp.llama_get_embeddings_seq(self._context, part.seq_id)
        assert numbers
        return np.ctypeslib.as_array(numbers, (self.width,))

    def interrupt(self, request_id: int) -> None:
        """Stop the running batch if all of it is this request's. From any thread.

        A batch that others have a part in runs to its end: nothing of theirs is computed twice.
        """
        if request_id == self._interruptible:
            self._abort.set()

    def _read_limits(self, longest: int, step_tokens: int) -> Limits:
        """Return the limits of the context: only what sees no later token can be cut.

        What was cut goes on from the keys and values in memory, so there must be some.
        """
        context, ubatch = self._context, int(llama_cpp.llama_n_ubatch(self._context))
        may_cut = bool(self._memory) and bool(llama_cpp.llama_get_causal_attn(context))
        return Limits(
            tokens=min(ubatch, step_tokens),
            longest=longest if may_cut else min(longest, ubatch),
            sequences=int(llama_cpp.llama_n_seq_max(context)),
            may_cut=may_cut,
        )

    def _forget_all_but(self, part: Part) -> None:
        if self._memory and part.start:
            llama_cpp.llama_memory_seq_keep(self._memory, part.seq_id)
        elif self._memory:
            llama_cpp.llama_memory_clear(self._memory, False)  # noqa: FBT003  (leave the data)


class _Batch:
    """The arrays of a ``llama_batch`` in which every token has an output."""

    def __init__(self, size: int) -> None:
        self._tokens, self._positions, self._seq_ids = (np.zeros(size, np.int32) for _ in range(3))
        self._ones = np.ones(size, np.int32)
        self._outputs = np.ones(size, np.int8)
        self._rows = self._seq_ids.ctypes.data + 4 * np.arange(size, dtype=np.uintp)
        integer = ctypes.POINTER(ctypes.c_int32)
        self.native = llama_cpp.llama_batch(
            n_tokens=0,
            token=self._tokens.ctypes.data_as(integer),
            embd=None,
            pos=self._positions.ctypes.data_as(integer),
            n_seq_id=self._ones.ctypes.data_as(integer),
            seq_id=self._rows.ctypes.data_as(ctypes.POINTER(integer)),
            logits=self._outputs.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
        )

    def fill(self, parts: Sequence[Part]) -> None:
        """Lay out the parts one after the other."""
        at = 0
        for part in parts:
            end = at + part.stop - part.start
            self._tokens[at:end] = part.input.tokens[part.start : part.stop]
            self._positions[at:end] = np.arange(part.start, part.stop)
            self._seq_ids[at:end] = part.seq_id
            at = end
        self.native.n_tokens = at
