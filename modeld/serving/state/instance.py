# SPDX-License-Identifier: GPL-3.0-only
"""One life of a model in memory: which phase it is in, and the bytes that it holds meanwhile."""

from __future__ import annotations

from collections.abc import Mapping

from modeld.device_bytes import DeviceBytes
from modeld.interfaces import Engine
from modeld.serving.state import phases
from modeld.serving.state.budget import Reservation
from modeld.serving.state.memory_need import MemoryNeed
from modeld.serving.state.phases import Leaving, Loading, Phase
from modeld.serving.state.residence import Residence
from modeld.serving.state.ticket import Running, Ticket
from modeld.status import EvictionReason
from modeld.values import ModelSpec


class Instance:
    """Made as its load begins, from ``spec``, and gone when its bytes are given back.

    ``generation`` is that of its entry at that time: how often the entry had been renewed.
    ``fitted`` is with what it is loaded in place of the entry's options, so that it fits, and
    ``fitting`` the receipt.
    What it has beside that depends on its ``phase``; :mod:`modeld.serving.state.phases` says which
    one may follow which. No phase is ever set but by the verbs here.
    """

    __slots__ = ("fitted", "fitting", "generation", "phase", "reservation", "spec")

    def __init__(
        self,
        spec: ModelSpec,
        reservation: Reservation,
        now_s: float,
        generation: int = 0,
        need: MemoryNeed | None = None,
    ) -> None:
        self.spec = spec
        self.fitted = None if need is None else need.fitted
        self.fitting = None if need is None else need.fitting
        self.generation = generation
        self.reservation = reservation
        # The identity stays while the phase changes: claims, the index and whoever waits for an
        # unload know an instance by what it is, not by how it is.
        self.phase: Phase = Loading(now_s)

    @property
    def held(self) -> DeviceBytes:
        """Return what the ledger counts for it."""
        return self.reservation.size

    @property
    def held_bytes(self) -> int:
        """Return what the ledger counts for it on all devices together."""
        return self.reservation.size_bytes

    @property
    def growth(self) -> DeviceBytes:
        """Return what it was measured to hold beyond its reservation."""
        return phases.measured(self.phase).beyond(self.reservation.size)

    def end_load(self, engine: Engine, now_s: float) -> Residence:
        """Take over the engine that its load has brought, and return its residence."""
        after = self.phase = phases.end_load(self.phase, engine, now_s)
        after.residence.fitting = self.fitting
        return after.residence

    def admit(self) -> None:
        """Begin to take requests."""
        self.phase = phases.admit(self.phase)

    def leave(self, reason: EvictionReason, running: Mapping[Ticket, Running]) -> Leaving:
        """Begin to leave memory, and return the new phase."""
        leaving = self.phase = phases.leave(self.phase, reason, running)
        return leaving

    def die(self) -> None:
        """Note that its engine is dead."""
        self.phase = phases.die(self.phase)

    def take_back(self) -> None:
        """Take requests again: nobody claims its bytes any more."""
        self.phase = phases.take_back(self.phase)

    def close(self) -> phases.Closing:
        """Note that its engine closes from now on, and return the new phase."""
        closing = self.phase = phases.close(self.phase)
        return closing

    def restore(self, phase: Phase) -> None:
        """Go back to a phase that it had, after decisions that nobody has carried out."""
        self.phase = phase

    def give_to(self, owner: str | None) -> None:
        """Note whose load counts on its bytes; ``None`` for nobody's."""
        self.phase = phases.give_to(self.phase, owner)
