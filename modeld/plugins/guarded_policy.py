# SPDX-License-Identifier: GPL-3.0-only
"""Checks what an eviction policy chooses; where that is wrong, another policy decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from modeld.interfaces import Candidate, EvictionPolicy
from modeld.plugins.faults import NoteFault
from modeld.plugins.guard import HungFault, PluginFault, called, guarded, shown

LIMIT_S: Final = 1.0
"""How long a policy may take. The event loop waits for it, so it must not take long twice."""


class GuardedPolicy(EvictionPolicy):
    """A policy whose faults are noted, and in whose place ``fallback`` decides then.

    One that takes longer than ``limit_s`` is not asked again. Without a fallback, and where the
    policy is that itself, nobody is chosen. One that ``is_trusted`` is modeld's own, which takes no
    time to speak of: a thread for each choice would be for nothing.
    """

    def __init__(
        self,
        policy: EvictionPolicy,
        fallback: EvictionPolicy | None,
        note: NoteFault,
        limit_s: float = LIMIT_S,
        *,
        is_trusted: bool = False,
    ) -> None:
        self.name = policy.name
        self._policy = policy
        self._fallback = fallback
        self._note = note
        self._limit_s = limit_s
        self._has_hung = False
        self._trusted = (policy, fallback) if is_trusted else (fallback,)

    def choose(self, candidates: Sequence[Candidate], needed_bytes: int) -> Sequence[Candidate]:
        """Return candidates that hold enough together, or none; it raises nothing."""
        if self._has_hung and self._fallback is None:
            return []
        if self._fallback is None or self._policy is self._fallback:
            return self._attempt(self._policy, candidates, needed_bytes, "nobody is evicted") or []
        if not self._has_hung:
            instead = f"{self._fallback.name!r} decides"
            chosen = self._attempt(self._policy, candidates, needed_bytes, instead)
            if chosen is not None:
                return chosen
        instead = "nobody is evicted"
        return self._attempt(self._fallback, candidates, needed_bytes, instead) or []

    def _attempt(
        self,
        policy: EvictionPolicy,
        candidates: Sequence[Candidate],
        needed_bytes: int,
        instead: str,
    ) -> Sequence[Candidate] | None:
        """Return what one policy chooses, or note its fault and return ``None``."""
        what = f"eviction policy {policy.name!r}"
        try:
            return self._checked(policy, what, tuple(candidates), needed_bytes)
        except HungFault as fault:
            self._has_hung = True
            message = f"{fault} and is not asked again: {instead} from now on"
            self._note("eviction policy", policy.name, message)
        except PluginFault as fault:
            self._note("eviction policy", policy.name, f"{fault}; {instead}", fault)
        return None

    def _checked(
        self,
        policy: EvictionPolicy,
        what: str,
        candidates: tuple[Candidate, ...],
        needed_bytes: int,
    ) -> Sequence[Candidate]:
        """Return what a policy chooses, if it is what a policy may choose.

        A name that was no candidate may be busy, pinned or unknown; part of the bytes would evict
        models and still let nothing load.
        """

        def choose() -> list[object]:
            return list(policy.choose(candidates, needed_bytes))

        is_trusted = any(policy is each for each in self._trusted)
        chosen = called(what, choose) if is_trusted else guarded(what, choose, self._limit_s)
        names = {candidate.model for candidate in candidates}
        wanted: set[str] = set()
        for victim in chosen:
            if not isinstance(victim, Candidate):
                raise PluginFault(f"{what} chose {shown(victim)}, which is no candidate")
            if type(victim.model) is not str or victim.model not in names:
                raise PluginFault(f"{what} chose {shown(victim.model)}, which may not be evicted")
            wanted.add(victim.model)
        victims = [candidate for candidate in candidates if candidate.model in wanted]
        if sum(victim.held_bytes for victim in victims) < needed_bytes:
            raise PluginFault(f"{what} chose too little")
        return victims
