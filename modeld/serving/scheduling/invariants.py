# SPDX-License-Identifier: GPL-3.0-only
"""What always holds between two decisions; tests check it after every step."""

from __future__ import annotations

from collections.abc import Mapping

from modeld.device_bytes import NOTHING
from modeld.serving.scheduling.entry_index import EntryIndex
from modeld.serving.state.budget import DeviceLimit, Ledger
from modeld.serving.state.instance import Instance
from modeld.serving.state.model_entry import ModelEntry
from modeld.serving.state.phases import Leaving, Ready, may_return, owner_of


def check(entries: Mapping[str, ModelEntry], index: EntryIndex, ledger: Ledger) -> None:
    """Assert what always holds.

    Raises:
        AssertionError: modeld is broken.
    """
    instances = [instance for entry in entries.values() for instance in entry.instances]
    _check_index(entries, index)
    assert sum((instance.held for instance in instances), NOTHING) == ledger.held
    for limit in ledger.limits:
        _check_limit(index, limit)
    owned = [victim for entry in entries.values() for victim in entry.victims]
    assert len(owned) == len(set(owned)), "a victim has two owners"
    for instance in instances:
        _check_claim(entries, instance, is_owned=instance in owned)
    for entry in entries.values():
        _check_slots(entry)


def _check_limit(index: EntryIndex, limit: DeviceLimit) -> None:
    if limit.free_bytes >= 0:
        return
    assert limit.moves, "more is reserved than the limit allows"
    leaving_bytes = sum(each.held.on(limit.device) for each in index.leaving)
    idle = [
        each
        for instance, each in index.ready.items()
        if each.is_idle and not each.pinned and instance.held.on(limit.device)
    ]
    is_relieved = -limit.free_bytes <= leaving_bytes
    assert is_relieved or not idle, "an idle model stays while others need its memory"


def _check_index(entries: Mapping[str, ModelEntry], index: EntryIndex) -> None:
    for entry in entries.values():
        is_sorted = entry in index.touched or index.is_sorted(entry)
        assert is_sorted, "an entry is not where it belongs"
    for entry in index.known():
        assert entries.get(entry.spec.id) is entry, "a forgotten entry has a state"
    for instance, entry in index.resident.items():
        assert instance in entry.instances, "an instance that is gone is still in the index"


def _check_claim(entries: Mapping[str, ModelEntry], instance: Instance, *, is_owned: bool) -> None:
    owner = owner_of(instance.phase)
    assert (owner is not None) == is_owned, "a victim does not know its owner"
    assert owner is None or instance in entries[owner].victims, "a victim has another owner"
    assert isinstance(instance.phase, Leaving) or not is_owned, "what takes requests is owned"
    is_wanted = owner is not None and _wants_bytes(entries[owner])
    assert is_wanted or not may_return(instance.phase), "nobody claims what drains"


def _wants_bytes(entry: ModelEntry) -> bool:
    """Return whether the model still waits for bytes, to be loaded or to grow."""
    return entry.wants_load or bool(entry.instances)


def _check_slots(entry: ModelEntry) -> None:
    is_live = any(isinstance(instance.phase, Ready) for instance in entry.instances)
    blocked = entry.queue.waiting and entry.queue.waiting[0].needs_slot
    if is_live and blocked:
        assert len(entry.queue.running) >= entry.queue.slots, "a slot is free and not given"
