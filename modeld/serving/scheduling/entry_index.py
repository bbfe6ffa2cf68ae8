# SPDX-License-Identifier: GPL-3.0-only
"""Which entries and instances are in which state, so that no decision looks at all of them.

Whoever changes an entry touches it; before anything is decided, the touched ones are sorted anew.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from modeld.serving.state.instance import Instance
from modeld.serving.state.model_entry import ModelEntry
from modeld.serving.state.phases import Leaving, Loaded, Ready


class EntryIndex:
    """Entries and instances by state, each in the order in which they came into it.

    Of entries, ``wanting`` are absent and waited for, ``unmarked`` those of them that nobody has
    overtaken. Of instances, each with its entry, ``resident`` are all, ``loaded`` have an engine
    and take no requests yet, ``leaving`` are on their way out of memory, ``grown`` hold more than
    was reserved for them, ``pinned`` are ready and evicted for nobody, and ``idle`` the ready ones
    that are not pinned and that nobody uses or waits for. ``terms`` are those whose term has begun,
    the first one first, and ``young`` those whose minimum residence may not be over: whoever begins
    a term or makes a model ready puts it there, and what has no longer a part in it may be there.
    """

    def __init__(self) -> None:
        self.touched: dict[ModelEntry, None] = {}
        self.wanting: dict[ModelEntry, None] = {}
        self.unmarked: dict[ModelEntry, None] = {}
        self.resident: dict[Instance, ModelEntry] = {}
        self.loaded: dict[Instance, ModelEntry] = {}
        self.ready: dict[Instance, ModelEntry] = {}
        self.leaving: dict[Instance, ModelEntry] = {}
        self.grown: dict[Instance, ModelEntry] = {}
        self.pinned: dict[Instance, ModelEntry] = {}
        self.idle: dict[Instance, ModelEntry] = {}
        self.terms: dict[Instance, ModelEntry] = {}
        self.young: dict[Instance, ModelEntry] = {}

    def touch(self, entry: ModelEntry) -> None:
        """Note that something about the entry has changed; the next decision looks at it.

        Within a decision that is too late: whoever changes a phase there calls :meth:`sort`.
        """
        self.touched[entry] = None

    def sort(self, entry: ModelEntry) -> None:
        """Put the entry where it belongs now, and have the next decision look at it."""
        # Sorted is not yet looked at: what moves an entry may let another thing go ahead with it.
        self.touched[entry] = None
        for entries, belongs in self._membership(entry):
            if not belongs:
                entries.pop(entry, None)
            elif entry not in entries:
                entries[entry] = None
        for instance in entry.instances:
            for instances, belongs in self._instance_membership(entry, instance):
                if not belongs:
                    instances.pop(instance, None)
                elif instance not in instances:
                    # Never set anew: a dict keeps the first position, and who came into a state
                    # first is looked at first.
                    instances[instance] = entry

    def sort_idle(self, entry: ModelEntry, instance: Instance) -> None:
        """Put an instance among the idle ones, or take it from there, after a grant."""
        if _is_idle(entry, instance):
            self.idle.setdefault(instance, entry)
        else:
            self.idle.pop(instance, None)

    def drop(self, instance: Instance) -> None:
        """Forget an instance that has left memory."""
        for instances in (
            self.resident,
            self.loaded,
            self.ready,
            self.leaving,
            self.grown,
            self.pinned,
            self.idle,
            self.terms,
            self.young,
        ):
            instances.pop(instance, None)

    def copied(self, copies: Mapping[Any, Any]) -> EntryIndex:
        """Return an index of the same, in the same order, with ``copies`` in place of these."""
        made = EntryIndex()
        for name, members in vars(self).items():
            setattr(
                made,
                name,
                {copies.get(each, each): copies.get(at, at) for each, at in members.items()},
            )
        return made

    def unsettled(self) -> Iterator[ModelEntry]:
        """Yield the entries of which a decision may change more than the phases of instances.

        They were touched, somebody waits for them, or they are on their way into memory or out.
        Some come more than once.
        """
        yield from self.touched
        yield from self.wanting
        for instance, entry in self.resident.items():
            if entry.queue.waiting or instance not in self.ready:
                yield entry

    def known(self) -> Iterator[ModelEntry]:
        """Yield all entries that stand anywhere."""
        yield from self.wanting
        yield from self.resident.values()

    def is_sorted(self, entry: ModelEntry) -> bool:
        """Return whether the entry stands where it belongs, with its instances."""
        return all(
            belongs == (entry in entries) for entries, belongs in self._membership(entry)
        ) and all(
            belongs == (instance in instances)
            for instance in entry.instances
            for instances, belongs in self._instance_membership(entry, instance)
        )

    def _membership(self, entry: ModelEntry) -> tuple[tuple[dict[ModelEntry, None], bool], ...]:
        wants_load = entry.wants_load
        return (
            (self.wanting, wants_load),
            (self.unmarked, wants_load and entry.overtaken_since_s is None),
        )

    def _instance_membership(
        self, entry: ModelEntry, instance: Instance
    ) -> tuple[tuple[dict[Instance, ModelEntry], bool], ...]:
        phase = instance.phase
        is_ready = isinstance(phase, Ready)
        is_leaving = not is_ready and isinstance(phase, Leaving)
        return (
            (self.resident, True),
            (self.loaded, isinstance(phase, Loaded)),
            (self.ready, is_ready),
            (self.leaving, is_leaving),
            (self.grown, not is_ready and bool(instance.growth)),  # else it is counted
            (self.pinned, is_ready and entry.pinned),
            (self.idle, _is_idle(entry, instance)),
        )


def _is_idle(entry: ModelEntry, instance: Instance) -> bool:
    return not entry.pinned and entry.queue.is_empty and isinstance(instance.phase, Ready)
