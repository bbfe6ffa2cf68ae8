# SPDX-License-Identifier: GPL-3.0-only
"""Which prompts are read in a step, and how much of each. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from modeld_llama_cpp.engine.sequence import Part, Sequence


def chunks(reading: list[Sequence], budget: int) -> Iterable[Part]:
    """Yield the parts of prompts that one step reads, the oldest first in the list."""
    counts = shares(budget, [one.missing for one in reading])
    for sequence, count in zip(reading, counts, strict=True):
        if count:
            yield Part(sequence, sequence.computed, sequence.computed + count)


def shares(budget: int, missing: list[int]) -> list[int]:
    """Share a budget among prompts, the oldest first in the list.

    Half of it is for the oldest, so that each comes to its end; the rest goes to the shortest
    first, so that most of them come to their first token soon. What is left is the oldest's again.
    """
    given = [0] * len(missing)
    given[0] = min(missing[0], -(-budget // 2))
    budget -= given[0]
    for index in sorted(range(1, len(missing)), key=missing.__getitem__):
        given[index] = min(missing[index], budget)
        budget -= given[index]
    given[0] += min(missing[0] - given[0], budget)
    return given
