# SPDX-License-Identifier: GPL-3.0-only
"""Finds what a sequence need not compute, because others begin alike. Pure, and no llama.cpp.

A sequence that begins like another one that runs holds that one's cells instead of computing them
again. If another one is about to compute what both begin with, it waits for that: reading the same
prompt side by side would take each of them as long. What the last request has computed may still
rest in its cells, and what those before it have is restored from the prefix cache. Cells are handed
out by the scheduler.
"""

from __future__ import annotations

from collections.abc import Iterable

from modeld_llama_cpp.engine.prefix_cache import (
    WORTH_SAVING,
    PrefixCache,
    SavedSequence,
    common_prefix,
)
from modeld_llama_cpp.engine.sequence import Resting, Sequence

WORTH_SHARING = 2
"""To hold cells takes no time, but the token that many vocabularies begin with is not worth it."""

WORTH_WAITING = 32
"""A sequence waits for another one only if that saves it at least so many tokens."""


class Sharing:
    """Who a sequence takes its beginning from, and whom it waits for to get more of it.

    ``in_parts`` says whether a running sequence can be shared by copying a part of it. Where it
    can, what is taken is a multiple of ``block`` and leaves as much to compute, so that this is
    rounded as if all were computed at once.
    """

    def __init__(self, prefix_cache: PrefixCache, *, in_parts: bool, block: int = 1) -> None:
        self._prefix_cache = prefix_cache
        self._in_parts = in_parts
        self._block = block if in_parts else 1

    def source(
        self,
        sequence: Sequence,
        admitted: Iterable[Sequence],
        resting: Resting | None,
        free_cells: int,
    ) -> tuple[Sequence | Resting | SavedSequence | None, int]:
        """Return who has the most of a sequence's beginning, and how much.

        That is one of those that have cells, or one that is saved, fits into the free cells and
        has enough more to be worth it. The last token is always computed, as the next one is chosen
        by its result.
        """
        if sequence.salt is None:
            return None, 0
        tokens = sequence.tokens[: self._most(sequence)]
        best: Sequence | Resting | SavedSequence | None = None
        most = WORTH_SHARING - 1
        for other in admitted if self._in_parts else ():
            may_have_more = other.salt == sequence.salt and other.computed > most
            if may_have_more and _agree(other, tokens, most):
                # What is not computed has no cells to share.
                common = min(common_prefix(other.tokens, tokens), other.computed)
                if common > most:
                    best, most = other, common
        if resting is not None and resting.salt == sequence.salt:
            common = common_prefix(resting.tokens, tokens)
            if common > most:
                best, most = resting, common
        saved, common = self._prefix_cache.longest(tokens, sequence.salt)
        enough = WORTH_SAVING + (most if best is not None else 0)
        # llama.cpp restores a whole state before it is cut, so all of it must fit for a moment.
        if saved is not None and common >= enough and len(saved.tokens) <= free_cells:
            best, most = saved, common
        most -= most % self._block
        return (best, most) if best is not None and most else (None, 0)

    def _most(self, sequence: Sequence) -> int:
        """Return how many tokens a sequence can take at the most."""
        return max(0, len(sequence.tokens) - self._block)

    def still_awaits(self, sequence: Sequence) -> bool:
        """Keep waiting while the leader makes progress; otherwise never wait for it again.

        A leader makes none while others are read before it. The sequence then waits for nobody.
        """
        leader = sequence.leader
        if leader is None or leader.seq_id is None or leader.computed >= sequence.awaited:
            return False
        # A step that waits for a leader whose client is behind would compute nothing.
        if leader.paused:
            return False
        if leader.computed == sequence.awaited_from:
            sequence.leader, sequence.awaited_from = None, -1
            return False
        sequence.awaited_from = leader.computed
        return True

    def must_await(self, sequence: Sequence, admitted: Iterable[Sequence], common: int) -> bool:
        """Return whether to wait for one of those that have cells, which becomes the leader.

        It is about to compute more of what this one begins with than the ``common`` tokens that
        are there.
        """
        sequence.leader = None
        if sequence.salt is None or not self._in_parts or sequence.awaited_from < 0:
            return False
        tokens = sequence.tokens[:-1]
        enough = common + WORTH_WAITING
        for other in admitted:
            # A paused one computes nothing, and to wait for it would be to wait for its client.
            is_reading = other.salt == sequence.salt and other.missing > 1 and not other.paused
            if is_reading and _agree(other, tokens, enough - 1):
                will_be = common_prefix(other.tokens, tokens)
                if will_be >= enough and will_be > other.computed:
                    sequence.leader, sequence.awaited = other, will_be
                    sequence.awaited_from = other.computed
                    enough = will_be + 1
        return sequence.leader is not None


def _agree(other: Sequence, tokens: list[int], index: int) -> bool:
    """Return whether they have the same token at an index.

    Looking at one saves comparing most of those that do not begin alike.
    """
    return index < len(tokens) and other.tokens[index : index + 1] == tokens[index : index + 1]
