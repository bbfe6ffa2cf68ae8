# SPDX-License-Identifier: GPL-3.0-only
"""Does what the scheduler decided: edits the memory, fills a batch, decodes it."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Callable, Collection, Iterable, Sequence
from enum import Enum, auto
from typing import TypeAlias, assert_never

import llama_cpp
import numpy as np
from numpy.typing import NDArray

from modeld_llama_cpp.engine.prefix_cache import SavedSequence
from modeld_llama_cpp.engine.sequence import Copy, Cut, Edit, Forget, Part, Restore, Save
from modeld_llama_cpp.native import native_log
from modeld_llama_cpp.native.abort import AbortFlag
from modeld_llama_cpp.native.model import Model
from modeld_llama_cpp.sampling.logits import Logits

Rows: TypeAlias = NDArray[np.float32]
"""The logits of some positions: a row for each, a column for each token of the vocabulary."""

_ABORTED = 2
_NO_ROOM = 1


class Outcome(Enum):
    """What became of a batch. Only after ``DONE`` is anything of it in memory."""

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
        self.rows = 0
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
        """Lay out the parts, and their draft tokens behind them.

        Return those after which tokens can be chosen, each with the first of its rows of logits:
        one after its last token and one after each draft token.
        """
        tokens, positions, seq_ids = self._tokens, self._positions, self._seq_ids
        asked: list[tuple[Part, int]] = []
        end = rows = 0
        for part in parts:
            sequence, start, stop = part.sequence, part.start, part.stop
            assert sequence.seq_id is not None
            if stop - start == 1:
                tokens[end] = sequence.tokens[start]
                positions[end] = start
                seq_ids[end] = sequence.seq_id
                self._outputs[end] = 0
                end += 1
            else:
                end = self._put(end, sequence.tokens[start:stop], start, sequence.seq_id, output=0)
            if stop == len(sequence.tokens):
                asked.append((part, rows))
                rows += 1
                self._outputs[end - 1] = 1
            if part.draft:
                end = self._put(end, part.draft, stop, sequence.seq_id, output=1)
                rows += len(part.draft)
        self.native.n_tokens = end
        self.rows = rows
        return asked

    def _put(
        self, index: int, tokens: Sequence[int], start: int, seq_id: int, *, output: int
    ) -> int:
        """Put successive tokens of one sequence at an index; return the index behind them."""
        count = len(tokens)
        end = index + count
        self._tokens[index:end] = array("i", tokens)
        self._positions[index:end] = array("i", range(start, start + count))
        self._seq_ids[index:end] = array("i", [seq_id]) * count
        self._outputs[index:end] = bytes([output]) * count
        return end


class Runner:
    """Works on one model's context. One thread; only :meth:`interrupt` comes from others.

    ``keep`` is given what an edit asks to save, while that is in memory.
    """

    def __init__(
        self, model: Model, vocabulary_size: int, keep: Callable[[Save], None] = lambda _: None
    ) -> None:
        self._keep = keep
        memory = llama_cpp.llama_get_memory(model.context)
        assert memory is not None
        self._memory = memory
        self._context = model.context
        self._batch = Batch(model.batch)
        self._logits = Logits(model.context, vocabulary_size)
        self._asked: list[tuple[Part, int]] = []
        self._abort = AbortFlag()
        self._can_abort = model.can_cut and self._abort.attach(model.context)
        self._interruptible: frozenset[int] = frozenset()
        self._was_aborted = False
        self._withheld = native_log.Withheld()
        self.last_error = ""

    def compute(self, parts: Collection[Part]) -> Outcome:
        """Run the batch through the model. Unless it is done, nothing of it stays in memory."""
        self._asked = self._batch.fill(parts)
        # Before anybody can be interrupted: a flag set for an earlier batch must not stop this one.
        self._abort.clear()
        if self._can_abort and not self._was_aborted and self._batch.native.n_tokens > len(parts):
            self._interruptible = frozenset(
                [part.sequence.request_id for part in parts if part.stop - part.start > 1]
            )
        with self._withheld as lines:
            code = llama_cpp.llama_decode(self._context, self._batch.native)
        self._interruptible = frozenset()  # who interrupts from now on comes too late
        self._was_aborted = code == _ABORTED
        if code == 0:
            return Outcome.DONE
        for part in parts:  # llama.cpp has taken out the ubatch that failed, not those before it
            assert part.sequence.seq_id is not None
            self.cut(part.sequence.seq_id, part.start)
        if code == _ABORTED:
            return Outcome.ABORTED
        for line in lines:
            native_log.write(line)
        self.last_error = lines[-1].text.strip() if lines else f"llama_decode returned {code}"
        return Outcome.NO_ROOM if code == _NO_ROOM else Outcome.FAILED

    def results(self) -> list[tuple[Part, Rows]]:
        """Return the parts after which a token can be chosen, once a batch is done.

        Each comes with the logits after its last token and after each of its draft tokens.
        """
        if not self._asked:  # without outputs, llama.cpp has no logits to point to
            return []
        rows = self._logits.rows(self._batch.rows)
        return [(part, rows[first : first + 1 + len(part.draft)]) for part, first in self._asked]

    def edit(self, edits: Iterable[Edit]) -> set[int]:
        """Change which sequences are in memory; return the ids that could not be restored."""
        failed: set[int] = set()
        for edit in edits:
            match edit:
                case Copy(source=source, target=target, count=count):
                    llama_cpp.llama_memory_seq_cp(self._memory, source, target, 0, count)
                    if source in failed:  # what was copied is not there either
                        failed.add(target)
                case Restore(saved=saved, seq_id=seq_id, count=count):
                    if not self.restore(seq_id, saved):
                        failed.add(seq_id)
                    elif count < len(saved.tokens):
                        self.cut(seq_id, count)
                case Forget(seq_id=seq_id):
                    llama_cpp.llama_memory_seq_rm(self._memory, seq_id, -1, -1)
                    failed.discard(seq_id)  # the id is free, and may have come to another sequence
                case Save():
                    self._keep(edit)
                case Cut(seq_id=seq_id, count=count):
                    self.cut(seq_id, count)
                case _:
                    assert_never(edit)
        return failed

    def cut(self, seq_id: int, start: int) -> None:
        """Take a sequence's tokens from ``start`` on out of memory."""
        llama_cpp.llama_memory_seq_rm(self._memory, seq_id, start, -1)

    def save(self, seq_id: int) -> bytearray:
        """Return a whole sequence as llama.cpp writes it: for the same model, options and build."""
        size = llama_cpp.llama_state_seq_get_size(self._context, seq_id)
        data = bytearray(size)
        native = (ctypes.c_uint8 * size).from_buffer(data)
        written = llama_cpp.llama_state_seq_get_data(self._context, native, size, seq_id)
        return data if written == size else data[:written]

    def restore(self, seq_id: int, saved: SavedSequence) -> bool:
        """Bring a saved sequence into memory, and return whether that worked.

        If not, nothing of it is there.
        """
        data = saved.state.read()
        if data is None:
            return False
        size = len(data)
        native = (ctypes.c_uint8 * size).from_buffer(data)
        with native_log.Withheld():
            read = llama_cpp.llama_state_seq_set_data(self._context, native, size, seq_id)
        last = llama_cpp.llama_memory_seq_pos_max(self._memory, seq_id)
        # The position too: a state may be whole and yet not be that of these tokens.
        if read == size and last == len(saved.tokens) - 1:
            return True
        llama_cpp.llama_memory_seq_rm(self._memory, seq_id, -1, -1)
        return False

    def interrupt(self, request_id: int) -> None:
        """Stop the running batch if it reads this request's prompt. From any thread.

        Never twice in a row: however often requests come and are cancelled, at least every other
        batch runs to its end and the other requests get on.
        """
        if request_id in self._interruptible:
            self._abort.set()
