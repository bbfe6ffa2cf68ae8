# SPDX-License-Identifier: GPL-3.0-only
"""The phases in the life of an instance, each with the data that it has, and how they follow.

An absent model has no instance. One that is there goes this way, and no other::

    Loading ──> Loaded ──> Ready <──> Draining ──> Closing
       │           │                                  ^
       v           v                                  │
    Withdrawn ─> Discarded ───────────────────────────┘

A load that fails ends in Loading or Withdrawn. Nothing leads out of Closing: an engine that was
told to close serves nobody again. Everything here is pure; who applies it is
:class:`~modeld.serving.state.instance.Instance`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias, assert_never

from modeld.device_bytes import NOTHING, DeviceBytes
from modeld.interfaces import Engine
from modeld.serving.state.residence import Residence
from modeld.serving.state.ticket import IllegalTransitionError, Running, Ticket, running_on
from modeld.status import EvictionReason, InstanceState


@dataclass(frozen=True, slots=True)
class Loading:
    """The backend loads it, since ``started_s``."""

    started_s: float


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The backend still loads it, and what it brings is closed at once, for ``reason``.

    ``owner`` is the model whose load counts on the bytes, here as in the other phases that leave.
    """

    started_s: float
    reason: EvictionReason
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """Its engine is there and takes no requests yet, until all bytes that it holds are counted."""

    started_s: float
    residence: Residence


@dataclass(frozen=True, slots=True)
class Ready:
    """It takes requests."""

    residence: Residence


@dataclass(frozen=True, slots=True)
class Draining:
    """It finishes what runs and is to leave for ``reason``.

    ``anchors`` are the requests that ran when it began to drain.
    """

    residence: Residence
    reason: EvictionReason
    anchors: frozenset[Ticket] = frozenset()
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Discarded:
    """Its engine has never taken a request, and never will; its close has not begun."""

    residence: Residence
    reason: EvictionReason
    owner: str | None = None


@dataclass(frozen=True, slots=True)
class Closing:
    """Its engine was told to close; its bytes are held until that is over."""

    residence: Residence
    reason: EvictionReason
    owner: str | None = None


Staying: TypeAlias = Loading | Loaded | Ready
Leaving: TypeAlias = Withdrawn | Draining | Discarded | Closing
Phase: TypeAlias = Staying | Leaving


def end_load(phase: Phase, engine: Engine, now_s: float) -> Loaded | Discarded:
    """Return the phase after a load that ended well."""
    match phase:
        case Loading(started_s):
            return Loaded(started_s, Residence(engine, started_s=started_s, ready_s=now_s))
        case Withdrawn(started_s, reason, owner):
            residence = Residence(engine, started_s=started_s, ready_s=now_s)
            return Discarded(residence, reason, owner)
        case Loaded() | Ready() | Draining() | Discarded() | Closing():
            raise _illegal(phase, "ends a load")
        case _:
            assert_never(phase)


def admit(phase: Phase) -> Ready:
    """Return the phase once all bytes that a loaded model holds are counted."""
    match phase:
        case Loaded(_, residence):
            return Ready(residence)
        case Loading() | Withdrawn() | Ready() | Draining() | Discarded() | Closing():
            raise _illegal(phase, "is admitted")
        case _:
            assert_never(phase)


def leave(phase: Phase, reason: EvictionReason, running: Mapping[Ticket, Running]) -> Leaving:
    """Return the phase of what is to leave memory; ``running`` are the model's requests.

    The first reason stays. Only a claim may be given up again, so any other reason goes over it.
    """
    match phase:
        case Loading(started_s):
            return Withdrawn(started_s, reason)
        case Loaded(_, residence):
            return Discarded(residence, reason)
        case Ready(residence):
            return Draining(residence, reason, frozenset(running_on(residence, running)))
        case Draining():
            return replace(phase, reason=reason) if may_return(phase) else phase
        case Withdrawn() | Discarded() | Closing():
            return phase
        case _:
            assert_never(phase)


def die(phase: Phase) -> Draining | Discarded:
    """Return the phase of one whose engine has died, whatever it was to leave for before."""
    match phase:
        case Loaded(_, residence):
            return Discarded(residence, EvictionReason.WORKER_EXITED)
        case Ready(residence):
            return Draining(residence, EvictionReason.WORKER_EXITED)
        case Draining() | Discarded():
            return replace(phase, reason=EvictionReason.WORKER_EXITED)
        case Loading() | Withdrawn() | Closing():
            raise _illegal(phase, "dies")
        case _:
            assert_never(phase)


def take_back(phase: Phase) -> Ready:
    """Return the phase of a victim that nobody claims any more: it takes requests again."""
    match phase:
        case Draining(residence) if may_return(phase):
            return Ready(residence)
        case Loading() | Withdrawn() | Loaded() | Ready() | Draining() | Discarded() | Closing():
            raise _illegal(phase, "is taken back")
        case _:
            assert_never(phase)


def close(phase: Phase) -> Closing:
    """Return the phase in which the engine closes. From here on there is no way back."""
    match phase:
        case Draining(residence, reason, _, owner) | Discarded(residence, reason, owner):
            return Closing(residence, reason, owner)
        case Loading() | Withdrawn() | Loaded() | Ready() | Closing():
            raise _illegal(phase, "closes")
        case _:
            assert_never(phase)


def give_to(phase: Phase, owner: str | None) -> Leaving:
    """Return the phase of what leaves, with the model whose load counts on its bytes now."""
    match phase:
        case Withdrawn() | Draining() | Discarded() | Closing():
            return replace(phase, owner=owner)
        case Loading() | Loaded() | Ready():
            raise _illegal(phase, "is claimed")
        case _:
            assert_never(phase)


def may_return(phase: Phase) -> bool:
    """Return whether it drains for a waiting load only, so that it may take requests again.

    Every other reason to drain holds whatever becomes of the one who waits.
    """
    return isinstance(phase, Draining) and phase.reason is EvictionReason.MAKE_ROOM


def owner_of(phase: Phase) -> str | None:
    """Return the model whose load counts on the bytes, if one does."""
    match phase:
        case Withdrawn() | Draining() | Discarded() | Closing():
            return phase.owner
        case Loading() | Loaded() | Ready():
            return None
        case _:
            assert_never(phase)


def reason_of(phase: Phase) -> EvictionReason | None:
    """Return why it leaves, if it does."""
    match phase:
        case Withdrawn() | Draining() | Discarded() | Closing():
            return phase.reason
        case Loading() | Loaded() | Ready():
            return None
        case _:
            assert_never(phase)


def measured(phase: Phase) -> DeviceBytes:
    """Return what the engine holds, as it said at the end of its load; nothing before."""
    match phase:
        case Loading() | Withdrawn():
            return NOTHING
        case Loaded() | Ready() | Draining() | Discarded() | Closing():
            return phase.residence.measured
        case _:
            assert_never(phase)


def engines(phase: Phase) -> tuple[Engine, ...]:
    """Return the engine; none before the end of the load."""
    match phase:
        case Loading() | Withdrawn():
            return ()
        case Loaded() | Ready() | Draining() | Discarded() | Closing():
            return (phase.residence.engine,)
        case _:
            assert_never(phase)


def public_state(phase: Phase) -> InstanceState:
    """Return the state as ``/status`` names it."""
    match phase:
        case Loading() | Loaded():
            return InstanceState.LOADING
        case Ready():
            return InstanceState.READY
        case Withdrawn() | Draining() | Discarded() | Closing():
            return InstanceState.DRAINING
        case _:
            assert_never(phase)


def _illegal(phase: Phase, what: str) -> IllegalTransitionError:
    return IllegalTransitionError(f"what is {type(phase).__name__} never {what}")
