# SPDX-License-Identifier: GPL-3.0-only
"""Does what the scheduler decided: fills a batch, decodes it, chooses tokens."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Collection, Mapping
from enum import Enum, auto

import llama_cpp

from modeld_llama_cpp import native_log
from modeld_llama_cpp.abort import AbortFlag
from modeld_llama_cpp.model import Model
from modeld_llama_cpp.sampling import Sampler
from modeld_llama_cpp.scheduler import Part, Sequence

_ABORTED = 2
_NO_ROOM = 1


class Outcome(Enum):
    """What became of a batch. Only after ``DONE`` anything of it is in memory."""

    DONE = auto()
    ABORTED = auto()
    NO_ROOM = auto()
    FAILED = auto()


class Batch:
    """The arrays of a ``llama_batch``, made once and filled anew in every step."""

    def __init__(self, size: int) -> None:
        self._tokens = memoryview(array("i", bytes(4 * size)))
        self._positions = memoryview(array("i", bytes(4 * size)))
        self._seq_ids = memoryview(array("i", bytes(4 * size)))
        self._outputs = bytearray(size)
        integers = ctypes.c_int32 * size
        seq_ids = integers.from_buffer(self._seq_ids)
        starts = [ctypes.addressof(seq_ids) + 4 * index for index in range(size)]
        addresses = (ctypes.c_void_p * size)(*starts)
        ones = integers(*[1] * size)
        self.native = llama_cpp.llama_batch(
            n_tokens=0,
            token=integers.from_buffer(self._tokens),
            embd=None,
            pos=integers.from_buffer(self._positions),
            n_seq_id=ones,
            seq_id=ctypes.cast(addresses, ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
            logits=(ctypes.c_int8 * size).from_buffer(self._outputs),
        )

    def fill(self, parts: Collection[Part]) -> list[tuple[Part, int]]:
        """Lay out the parts; return those after which a token can be chosen, with their rows."""
        tokens, positions, seq_ids = array("i"), array("i"), array("i")
        outputs: list[tuple[Part, int]] = []
        for part in parts:
            sequence, start, stop = part.sequence, part.start, part.stop
            assert sequence.seq_id is not None
            tokens.extend(sequence.tokens[start:stop])
            positions.extend(range(start, stop))
            seq_ids.extend([sequence.seq_id] * (stop - start))
            if stop == len(sequence.tokens):
                outputs.append((part, len(tokens) - 1))
        count = len(tokens)
        self._tokens[:count] = tokens
        self._positions[:count] = positions
        self._seq_ids[:count] = seq_ids
        self._outputs[:count] = bytes(count)
        for _, row in outputs:
            self._outputs[row] = 1
        self.native.n_tokens = count
        return outputs


class Runner:
    """Works on one model's context. One thread; only :meth:`interrupt` comes from others."""

    def __init__(self, model: Model, batch_size: int) -> None:
        memory = llama_cpp.llama_get_memory(model.context)
        assert memory is not None
        self._memory = memory
        self._context = model.context
        self._batch = Batch(batch_size)
        self._outputs: list[tuple[Part, int]] = []
        self._abort = AbortFlag()
        self._can_abort = model.can_cut and self._abort.attach(model.context)
        self._interruptible: frozenset[int] = frozenset()
        self._was_aborted = False
        self.last_error = ""

    def compute(self, parts: Collection[Part]) -> Outcome:
        """Run the batch through the model. Unless it is done, nothing of it stays in memory."""
        self._outputs = self._batch.fill(parts)
        self._abort.clear()
        if self._can_abort and not self._was_aborted:
            self._interruptible = frozenset(
                [part.sequence.request_id for part in parts if part.stop - part.start > 1]
            )
        with native_log.Withheld() as lines:
            code = llama_cpp.llama_decode(self._context, self._batch.native)
        self._interruptible = frozenset()
        self._was_aborted = code == _ABORTED
        if code == 0:
            return Outcome.DONE
        for part in parts:
            self._cut(part)
        if code == _ABORTED:
            return Outcome.ABORTED
        for line in lines:
            native_log.write(line)
        self.last_error = lines[-1].text.strip() if lines else f"llama_decode returned {code}"
        return Outcome.NO_ROOM if code == _NO_ROOM else Outcome.FAILED

    def choose(self, samplers: Mapping[int, Sampler]) -> list[tuple[Sequence, int]]:
        """After a batch that is done: the next token of every sequence that has come so far.

        ``samplers`` are by request id.
        """
        context = self._context
        return [
            (part.sequence, samplers[part.sequence.request_id].sample(context, row))
            for part, row in self._outputs
        ]

    def forget(self, seq_id: int) -> None:
        """Take a whole sequence out of memory."""
        llama_cpp.llama_memory_seq_rm(self._memory, seq_id, -1, -1)

    def interrupt(self, request_id: int) -> None:
        """Stop the running batch if it reads this request's prompt. From any thread.

        Never twice in a row: however often requests come and are cancelled, at least every other
        batch runs to its end and the other requests get on.
        """
        if request_id in self._interruptible:
            self._abort.set()

    def _cut(self, part: Part) -> None:
        """Undo a part of a batch that was not done.

        llama.cpp has taken out the ubatch that failed, not those before it.
        """
        assert part.sequence.seq_id is not None
        llama_cpp.llama_memory_seq_rm(self._memory, part.sequence.seq_id, part.start, -1)
