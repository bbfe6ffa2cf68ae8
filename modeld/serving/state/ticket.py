# SPDX-License-Identifier: GPL-3.0-only
"""One request for a model as its queue sees it, and the phases of its life.

A request waits, then it runs, then it has ended, and it may end in either. That its model is being
loaded is a fact of the model, which all who wait share; a request does not say it a second time.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, TypeAlias, assert_never

import msgspec

from modeld.errors import ModeldError
from modeld.requests import KeepAliveSeconds
from modeld.serving.state.residence import Residence


class End(Enum):
    """How a request has ended."""

    SERVED = auto()
    BROKEN_OFF = auto()
    REFUSED = auto()
    LEFT = auto()


@dataclass(frozen=True, slots=True)
class Queued:
    """It waits for its model and a slot."""


class Running(msgspec.Struct, frozen=True):
    """The model is its to use since ``started_s``, and cannot be evicted meanwhile."""

    residence: Residence
    started_s: float


@dataclass(frozen=True, slots=True)
class Ended:
    """It holds nothing any more."""

    how: End


RequestPhase: TypeAlias = Queued | Running | Ended


_QUEUED: Final = Queued()
_ENDED: Final = {how: Ended(how) for how in End}


class IllegalTransitionError(RuntimeError):
    """A phase was to follow another that it never follows: modeld is broken."""


def run(phase: RequestPhase, residence: Residence, now_s: float) -> Running:
    """Return the phase of a request that gets the model."""
    match phase:
        case Queued():
            return Running(residence, now_s)
        case Running() | Ended():
            raise IllegalTransitionError(f"what is {phase} cannot begin")
        case _:
            assert_never(phase)


def refuse(phase: RequestPhase) -> Ended:
    """Return the phase of a request that is told that it cannot have the model."""
    match phase:
        case Queued():
            return _ENDED[End.REFUSED]
        case Running() | Ended():
            raise IllegalTransitionError(f"what is {phase} cannot be refused")
        case _:
            assert_never(phase)


def finish(phase: RequestPhase, *, well: bool) -> Ended:
    """Return the phase of a request whose work is over."""
    match phase:
        case Running():
            return _ENDED[End.SERVED if well else End.BROKEN_OFF]
        case Queued() | Ended():
            raise IllegalTransitionError(f"what is {phase} has no work that could be over")
        case _:
            assert_never(phase)


def give_up(phase: RequestPhase) -> Ended:
    """Return the phase of a request whose client waits no longer, whatever it waits for."""
    match phase:
        case Queued():
            return _ENDED[End.LEFT]
        case Running():
            return finish(phase, well=False)
        case Ended():
            return phase
        case _:
            assert_never(phase)


class Ticket:
    """One request in a model's queue, then with a slot.

    ``granted`` is done when the model is ready and a slot is the ticket's; it fails if the model
    cannot be had. A ticket that needs no slot (an explicit load) only waits for the model.
    ``deadline_s`` is when it gives up if it still waits then. ``keep_alive_s`` is how long it wants
    the model to stay in memory unused, if it says so. ``takes_fitted`` says that a model will do
    that goes without something to fit.
    """

    def __init__(
        self,
        arrived_s: float,
        granted: asyncio.Future[Running],
        *,
        needs_slot: bool = True,
        deadline_s: float = math.inf,
        keep_alive_s: KeepAliveSeconds | None = None,
        takes_fitted: bool = True,
    ) -> None:
        self.arrived_s = arrived_s
        self.takes_fitted = takes_fitted
        self.deadline_s = deadline_s
        self.keep_alive_s = keep_alive_s
        self.granted = granted
        self.needs_slot = needs_slot
        self.phase: RequestPhase = _QUEUED

    def grant(self, residence: Residence, now_s: float) -> Running:
        """Wake the request, and return its new phase."""
        running = self.phase = run(self.phase, residence, now_s)
        # The client may be leaving at this moment: its task then gives the slot back itself.
        if not self.granted.done():
            self.granted.set_result(running)
        return running

    def fail(self, error: ModeldError) -> None:
        """Wake the request with an error."""
        self.phase = refuse(self.phase)
        if not self.granted.done():
            self.granted.set_exception(error)

    def finish(self, *, well: bool) -> None:
        """Note that the work is over."""
        self.phase = finish(self.phase, well=well)

    def abandon(self) -> None:
        """Note that nobody waits for the outcome any more."""
        self.phase = give_up(self.phase)
        # Without a look at its exception asyncio would log one that nobody has retrieved.
        if not self.granted.cancel() and not self.granted.cancelled():
            self.granted.exception()


def running_on(residence: Residence, running: Mapping[Ticket, Running]) -> list[Ticket]:
    """Return those of ``running`` that this engine works for."""
    return [ticket for ticket, phase in running.items() if phase.residence is residence]
