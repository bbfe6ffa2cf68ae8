# SPDX-License-Identifier: GPL-3.0-only
"""What is replayed: requests in the order of their arrival, and what is known of their models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from modeld.values import Value


class ModelFacts(Value, frozen=True, kw_only=True):
    """What a model holds, how long its load takes, and how many requests it works on at once."""

    held_bytes: int
    load_seconds: float
    slots: int = 1


class Arrival(msgspec.Struct, frozen=True, gc=False):
    """One request: it holds a slot of ``model`` for ``service_s``, whoever else is served."""

    arrived_s: float
    model: str
    service_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """``arrivals`` are in order; each is for one of ``models``. ``left_out`` had to be.

    That is the number of requests in a trace for models that were never loaded in it, and of which
    nothing is known.
    """

    models: Mapping[str, ModelFacts]
    arrivals: Sequence[Arrival]
    left_out: int = 0

    @property
    def held_bytes(self) -> int:
        """Return what all models hold together."""
        return sum(each.held_bytes for each in self.models.values())
