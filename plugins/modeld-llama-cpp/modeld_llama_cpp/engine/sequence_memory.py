# SPDX-License-Identifier: GPL-3.0-only
"""Who has which cells and which of llama.cpp's ids: those that run, or the one that rests. Pure.

Attention adds up in the order of the cells, and rounds otherwise where the same tokens lie in
another order; behind quantised weights that is enough to turn a choice. So a sequence rests only
where it has had the memory for itself, which llama.cpp fills in the order of the tokens then, and
only for who goes on in its very place.

Each change of what is in llama.cpp's memory is noted as an edit, in the order of their making.
"""

from __future__ import annotations

from typing import TypeAlias

from modeld_llama_cpp.engine.kv_cells import Cells, Holding
from modeld_llama_cpp.engine.prefix_cache import WORTH_SAVING, SavedSequence, common_prefix
from modeld_llama_cpp.engine.sequence import (
    Copy,
    Cut,
    Edit,
    Forget,
    Resting,
    Restore,
    Save,
    Sequence,
)

MOST_UNSAVED = 512
"""What rests without being saved has at most so many tokens, as a model that leaves memory has to
save it first."""

Source: TypeAlias = Sequence | Resting | SavedSequence | None
"""Who has what a sequence begins with."""


class SequenceMemory:
    """The KV cache of ``cells`` cells and ``slots`` ids, by what is to be done in it.

    ``resting`` has all the cells that are in use. It is there only while nobody runs.
    """

    def __init__(self, cells: int, slots: int) -> None:
        self.cells = Cells(cells)
        self.resting: Resting | None = None
        self._slots = slots
        self._free_ids = list(range(slots - 1, -1, -1))
        self._in_order = True
        self._edits: list[Edit] = []  # an id is forgotten, then used

    def take_edits(self) -> list[Edit]:
        """Return what is to be done, once: a second Forget would take what came meanwhile."""
        edits, self._edits = self._edits, []
        return edits

    def bring(self, sequence: Sequence, source: Source, common: int, holding: Holding) -> None:
        """Give a sequence an id and the first ``common`` tokens of a source.

        ``holding`` is what it shares with a source that has cells, else empty. What rests and is
        not the source gives way.
        """
        if isinstance(source, Resting):
            sequence.seq_id = self._take_over(source, common)
        else:
            self.let_go()
            # Who comes to an empty memory has it in order, until somebody comes to it.
            self._in_order = len(self._free_ids) == self._slots
            sequence.seq_id = self._free_ids.pop()
        if isinstance(source, SavedSequence):
            assert len(source.tokens) <= self.cells.free, "what does not fit is no source"
            self.cells.extend(holding, common)
            self._edits.append(Restore(source, sequence.seq_id, common))
        elif isinstance(source, Sequence):
            assert source.seq_id is not None
            self._edits.append(Copy(source.seq_id, sequence.seq_id, common))
        sequence.holding, sequence.computed = holding, common

    def release(self, sequence: Sequence) -> None:
        """Take a sequence out of memory."""
        assert sequence.seq_id is not None
        self._forget(sequence.seq_id, sequence.holding)
        sequence.seq_id, sequence.computed = None, 0

    def may_rest(self, sequence: Sequence) -> bool:
        """Return whether a sequence, which is still in memory, has had it for itself."""
        return self._in_order and sequence.salt is not None and sequence.computed > 0

    def rest(self, sequence: Sequence, *, is_saved: bool) -> None:
        """Let what is computed of a sequence rest where it is, as :meth:`may_rest` allows."""
        salt, seq_id = sequence.salt, sequence.seq_id
        assert salt is not None
        assert seq_id is not None
        tokens = sequence.tokens[: sequence.computed]
        self.resting = Resting(tokens, salt, seq_id, sequence.holding, is_saved)
        sequence.seq_id, sequence.computed, sequence.holding = None, 0, Holding()

    def let_go(self) -> None:
        """Let nobody rest any longer; the prefix cache is given what it has not seen yet."""
        if self.resting is not None:
            one, self.resting = self.resting, None
            self._save(one)
            self._forget(one.seq_id, one.holding)

    def is_saving(self, sequence: Sequence, common: int) -> bool:
        """Return whether the edits save something that is worth more than ``common`` tokens."""
        return any(
            isinstance(edit, Save)
            and edit.salt == sequence.salt
            and common_prefix(edit.tokens, tuple(sequence.tokens[:-1])) >= common + WORTH_SAVING
            for edit in self._edits
        )

    def _take_over(self, one: Resting, common: int) -> int:
        """Cut what rests to its first ``common`` tokens, and return its id."""
        tail = len(one.tokens) - common
        if tail >= WORTH_SAVING:
            self._save(one)
        self.resting = None
        self.cells.give_back(one.holding)  # the first of them are held by who gets the id
        if tail:
            self._edits.append(Cut(one.seq_id, common))
        return one.seq_id

    def _save(self, one: Resting) -> None:
        if not one.is_saved:
            self._edits.append(Save(one.seq_id, tuple(one.tokens), one.salt))

    def _forget(self, seq_id: int, holding: Holding) -> None:
        self.cells.give_back(holding)
        self._edits.append(Forget(seq_id))
        self._free_ids.append(seq_id)
