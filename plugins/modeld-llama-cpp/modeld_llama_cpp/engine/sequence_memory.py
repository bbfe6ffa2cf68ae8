# SPDX-License-Identifier: GPL-3.0-only
"""Who has which cells and which of llama.cpp's ids: sequences that run, and what rests. Pure.

What rests gives way to whoever wants its cells or its id. Each change of what is in llama.cpp's
memory is noted as an edit, in the order of their making.
"""

from __future__ import annotations

from typing import TypeAlias

from modeld_llama_cpp.engine.kv_cells import Cells, Holding
from modeld_llama_cpp.engine.prefix_cache import WORTH_SAVING, SavedSequence
from modeld_llama_cpp.engine.resting import MOST_UNSAVED, Resting, RestingSequences
from modeld_llama_cpp.engine.sequence import Copy, Cut, Edit, Forget, Restore, Save, Sequence

Source: TypeAlias = Sequence | Resting | SavedSequence | None
"""Who has what a sequence begins with."""


class SequenceMemory:
    """The KV cache of ``cells`` cells and ``slots`` ids, by what is to be done in it."""

    def __init__(self, cells: int, slots: int) -> None:
        self.cells = Cells(cells)
        self.resting = RestingSequences()
        self._free_ids = list(range(slots - 1, -1, -1))
        self._edits: list[Edit] = []  # an id is forgotten, then used

    def take_edits(self) -> list[Edit]:
        """Return what is to be done, once: a second Forget would take what came meanwhile."""
        edits, self._edits = self._edits, []
        return edits

    def bring(self, sequence: Sequence, source: Source, common: int, holding: Holding) -> None:
        """Give a sequence an id and the first ``common`` tokens of a source.

        ``holding`` is what it shares with a source that has cells, else empty.
        """
        sequence.seq_id = self._take_id(source, common)
        if isinstance(source, SavedSequence):
            fits = self.has_free(len(source.tokens))
            assert fits, "what does not fit beside those that run is no source"
            self.cells.extend(holding, common)
            self._edits.append(Restore(source, sequence.seq_id, common))
        elif source is not None and source.seq_id != sequence.seq_id:
            assert source.seq_id is not None
            self._edits.append(Copy(source.seq_id, sequence.seq_id, common))
        sequence.holding, sequence.computed = holding, common

    def release(self, sequence: Sequence) -> None:
        """Take a sequence out of memory."""
        assert sequence.seq_id is not None
        self.cells.give_back(sequence.holding)
        self._forget(sequence.seq_id)
        sequence.seq_id, sequence.computed = None, 0

    def may_rest_unsaved(self, sequence: Sequence) -> bool:
        """Return whether there is time to save a sequence when it rests no longer."""
        return self.resting.unsaved_tokens + sequence.computed <= MOST_UNSAVED

    def rest(self, sequence: Sequence, *, is_saved: bool) -> None:
        """Let what is computed of a sequence rest where it is."""
        salt, seq_id = sequence.salt, sequence.seq_id
        if salt is None or seq_id is None or not sequence.computed:
            self.release(sequence)
            return
        tokens = sequence.tokens[: sequence.computed]
        self.resting.add(Resting(tokens, salt, seq_id, sequence.holding, is_saved))
        sequence.seq_id, sequence.computed, sequence.holding = None, 0, Holding()

    def has_free(self, count: int) -> bool:
        """Return whether so many cells are free, once what rests has given way as far as needed."""
        while self.cells.free < count:
            one = self.resting.oldest()
            if one is None:
                return False
            self._let_go(one)
        return True

    def let_go_impatient(self) -> None:
        """Let nobody rest for longer than is worth it."""
        for one in self.resting.impatient():
            self._let_go(one)

    def let_go_all(self) -> None:
        """Let nobody rest any longer."""
        while (one := self.resting.oldest()) is not None:
            self._let_go(one)

    def _take_id(self, source: Source, common: int) -> int:
        """Return a free id, or that of the source where this takes its place."""
        if isinstance(source, Resting):
            tail = len(source.tokens) - common
            is_alone = not self._free_ids and self.resting.oldest(source) is None
            if tail < WORTH_SAVING or is_alone:
                self._give_up(source, common)
                return source.seq_id
        if not self._free_ids:
            oldest = self.resting.oldest(source)
            assert oldest is not None, "there is an id for each slot, so who does not run rests"
            self._let_go(oldest)
        return self._free_ids.pop()

    def _give_up(self, one: Resting, common: int) -> None:
        """Let one rest no longer, and leave its id and its first ``common`` cells to another."""
        tail = len(one.tokens) - common
        if tail >= WORTH_SAVING:
            self._save(one)
        self.resting.remove(one)
        self.cells.give_back(one.holding)  # the first of them are held by who gets the id
        if tail:
            self._edits.append(Cut(one.seq_id, common))

    def _let_go(self, one: Resting) -> None:
        """Take one that rests out of its cells, into the prefix cache if that wants it."""
        if not self.resting.is_covered(one):
            self._save(one)
        self.resting.remove(one)
        self.cells.give_back(one.holding)
        self._forget(one.seq_id)

    def _save(self, one: Resting) -> None:
        if not one.is_saved:
            self._edits.append(Save(one.seq_id, tuple(one.tokens), one.salt))

    def _forget(self, seq_id: int) -> None:
        self._edits.append(Forget(seq_id))
        self._free_ids.append(seq_id)
