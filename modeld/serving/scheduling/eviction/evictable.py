# SPDX-License-Identifier: GPL-3.0-only
"""Instances that may be evicted, what they hold, and whether that helps. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from modeld.device_bytes import NOTHING, DeviceBytes
from modeld.interfaces import Candidate
from modeld.serving.state.instance import Instance
from modeld.serving.state.model_entry import ModelEntry
from modeld.serving.state.residence import Residence
from modeld.status import MAIN


def held(instances: Iterable[Instance]) -> DeviceBytes:
    """Return what these instances hold together."""
    return sum((instance.held for instance in instances), NOTHING)


def pinned(instances: Iterable[Instance], size: DeviceBytes) -> DeviceBytes:
    """Return what models hold that are evicted for no other, of what ``size`` is of.

    What they hold of another GPU is in nobody's way.
    """
    all_pinned = held(instances)
    if not all_pinned.gpus:
        return all_pinned
    gpus = {name: all_pinned.on(name) for name in size.devices if name != MAIN}
    return DeviceBytes(all_pinned.main, gpus)


def is_help(instance: Instance, short: DeviceBytes) -> bool:
    """Return whether an instance holds something of what is short, if anything is."""
    return not short or any(instance.held.on(device) > 0 for device in short.devices)


class Evictable(NamedTuple):
    """An instance that takes requests and is not pinned, with its entry and its residence."""

    instance: Instance
    entry: ModelEntry
    residence: Residence

    def candidate(self, device: str, now_s: float) -> Candidate:
        """Return the model as an eviction policy sees it that is to free bytes of a device."""
        return Candidate(
            model=self.entry.spec.id,
            held_bytes=int(self.instance.held.on(device)),
            device=device,
            last_used_s=self.residence.last_used_s,
            loaded_s=self.residence.ready_s,
            load_seconds=self.residence.load_seconds,
            uses=self.entry.demand.requests,
            rate_per_s=self.entry.demand.rate_per_s(now_s),
        )


def held_by(evictable: Iterable[Evictable]) -> DeviceBytes:
    """Return what these hold together."""
    return held(each.instance for each in evictable)


def by_priority(evictable: Iterable[Evictable]) -> Iterator[list[Evictable]]:
    """Yield those of equal priority together, the lowest first, each as they came."""
    groups: dict[int, list[Evictable]] = {}
    for each in evictable:
        groups.setdefault(each.entry.priority, []).append(each)
    yield from (groups[priority] for priority in sorted(groups))


def without_needless(chosen: Sequence[Evictable], needed: DeviceBytes) -> list[Evictable]:
    """Return victims without those that others make needless.

    Those were chosen for another device, or are more important and go in any case.
    """
    kept = list(chosen)
    for victim in chosen:
        others = [each for each in kept if each is not victim]
        if needed.fits_within(held_by(others)):
            kept = others
    return kept
