# SPDX-License-Identifier: GPL-3.0-only
"""Selects victims for the built-in policies: enough bytes, and none without need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from modeld import Candidate

Key: TypeAlias = Callable[[Candidate], tuple[float, ...]]


def in_order(candidates: Sequence[Candidate], needed_bytes: int, key: Key) -> tuple[Candidate, ...]:
    """Return victims, the lowest key first; none where all together are not enough.

    A model taken early is given back if those taken after it free enough without it, the one with
    the highest key first. Equal keys are told apart by last use, then load, then name, so that the
    choice is the same each time.
    """
    victims: list[Candidate] = []
    missing = needed_bytes
    for candidate in sorted(candidates, key=lambda each: (key(each), _age(each))):
        if missing <= 0:
            break
        victims.append(candidate)
        missing -= candidate.held_bytes
    return tuple(_needed(victims, -missing)) if missing <= 0 else ()


def _needed(victims: Iterable[Candidate], surplus_bytes: int) -> list[Candidate]:
    """Return ``victims`` without those whose bytes are not needed."""
    kept = list(victims)
    for victim in reversed(tuple(kept)):
        if victim.held_bytes <= surplus_bytes:
            kept.remove(victim)
            surplus_bytes -= victim.held_bytes
    return kept


def _age(candidate: Candidate) -> tuple[float, float, str]:
    return candidate.last_used_s, candidate.loaded_s, candidate.model
