# SPDX-License-Identifier: GPL-3.0-only
"""Who leaves memory so that another model fits. Decides only; see :mod:`modeld.serving.turns`."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

from modeld.interfaces import EvictionPolicy
from modeld.serving.instance import Instance, Place
from modeld.values import EvictionReason, InstanceState


def held_bytes(instances: Collection[Instance]) -> int:
    """What these instances hold together."""
    return sum(instance.held_bytes for instance in instances)


class Room:
    """Finds victims among the places, and remembers for whom each of them goes.

    Only idle models are victims: nobody runs on them, nobody waits for them, and they have been
    loaded for ``min_residence_s``. A place whose requests were overtaken for ``max_overtake_s``
    may also claim busy ones; these finish what runs and take nothing new. Pinned models are
    nobody's victims.
    """

    def __init__(
        self,
        places: Mapping[str, Place],
        policy: EvictionPolicy,
        *,
        min_residence_s: float,
        max_overtake_s: float,
    ) -> None:
        self.complaints: list[str] = []
        self._places = places
        self._policy = policy
        self._min_residence_s = min_residence_s
        self._max_overtake_s = max_overtake_s

    def make(self, place: Place, free: float, now_s: float) -> bool:
        """Claim victims for a load, given ``free`` bytes.

        Says whether the free bytes are this load's too: its victims are on their way, or it was
        overtaken for long enough.
        """
        self._adopt_orphans(place, place.need.size_bytes - free)
        short = place.need.size_bytes - free - held_bytes(place.victims)
        if short <= 0:
            return True
        overdue = now_s >= self._overdue_s(place)
        chosen = self._choose(self._idle(now_s), short)
        if not chosen and overdue:
            chosen = self._choose(self._movable(), short)
        return self._claim(place, chosen) or overdue

    def make_to_grow(self, place: Place, growth_bytes: int, free: float) -> bool:
        """Claim victims for a model that is loaded already; ``False`` where that is impossible."""
        self._adopt_orphans(place, growth_bytes - free)
        short = growth_bytes - free - held_bytes(place.victims)
        if short <= 0:
            return True
        idle = [other for other in self._movable() if other.is_idle]
        return self._claim(place, self._choose(idle, short))

    def next_chance_s(self, place: Place, now_s: float) -> float:
        """When :meth:`make` may find more than now, apart from models becoming idle."""
        idle = (other for other in self._movable() if other.is_idle)
        residents = map(self._resident_until_s, idle)
        times = [*residents, self._overdue_s(place)]
        return min((time_s for time_s in times if time_s > now_s), default=math.inf)

    def ready(self) -> list[Place]:
        """The models that take requests."""
        return [
            place
            for place in self._places.values()
            if place.instance is not None and place.instance.state is InstanceState.READY
        ]

    def pinned_bytes(self) -> int:
        """What the models hold that make room for no other."""
        return held_bytes([p.instance for p in self.ready() if p.pinned and p.instance is not None])

    def release_unwanted(self) -> None:
        """Who waits no longer owns no victims; they go all the same."""
        for place in self._places.values():
            if not place.wants_load and place.instance is None:
                place.victims.clear()
                place.has_claim = False
                place.overtaken_since_s = None

    def _movable(self) -> list[Place]:
        return [place for place in self.ready() if not place.pinned]

    def _overdue_s(self, place: Place) -> float:
        if place.overtaken_since_s is None:
            return math.inf
        return place.overtaken_since_s + self._max_overtake_s

    def _adopt_orphans(self, place: Place, needed: float) -> None:
        """Count on models that are leaving anyway before sending others away."""
        owned = {victim for other in self._places.values() for victim in other.victims}
        for other in self._places.values():
            instance = other.instance
            if instance is None or instance.state is not InstanceState.DRAINING:
                continue
            if instance not in owned and held_bytes(place.victims) < needed:
                place.victims.add(instance)

    def _choose(self, places: Sequence[Place], needed: float) -> list[Instance]:
        """Ask the policy, and believe only what it may say."""
        by_model = {place.spec.id: place.instance for place in places}
        candidates = [place.candidate() for place in places]
        if sum(candidate.held_bytes for candidate in candidates) < needed:
            return []
        try:
            names = {victim.model for victim in self._policy.choose(candidates, int(needed))}
        except Exception as exc:  # noqa: BLE001  (a plugin's fault must not stop the server)
            self.complaints.append(f"eviction policy {self._policy.name!r} raised {exc!r}")
            return []
        chosen = [instance for name in names if (instance := by_model.get(name)) is not None]
        if len(chosen) != len(names) or held_bytes(chosen) < needed:
            self.complaints.append(
                f"eviction policy {self._policy.name!r} chose {sorted(names)}"
                f" for {needed} bytes, which is not enough or not there"
            )
            return []
        return chosen

    def _claim(self, place: Place, victims: Sequence[Instance]) -> bool:
        for victim in victims:
            victim.drain(EvictionReason.MAKE_ROOM)
            place.victims.add(victim)
            place.has_claim = True
        return bool(victims)

    def _idle(self, now_s: float) -> list[Place]:
        return [
            place
            for place in self._movable()
            if place.is_idle and self._resident_until_s(place) <= now_s
        ]

    def _resident_until_s(self, place: Place) -> float:
        assert place.instance is not None
        return place.instance.ready_s + self._min_residence_s
