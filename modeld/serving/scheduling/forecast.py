# SPDX-License-Identifier: GPL-3.0-only
"""Predicts when a request would be served, for ``Retry-After``. Pure.

Requests are taken to last as long as they did on average, loads as long as the last one of the
model, or as its bytes say. Whatever has outlasted that is taken to last as long again as it has.
"""

from __future__ import annotations

import heapq
import math
from typing import Final, assert_never

from modeld.serving.scheduling.backfill import opens_s
from modeld.serving.scheduling.entry_index import EntryIndex
from modeld.serving.scheduling.eviction.evictable import is_help, pinned
from modeld.serving.scheduling.eviction.terms import Terms
from modeld.serving.scheduling.waiting_order import WaitingOrder
from modeld.serving.state.budget import Ledger
from modeld.serving.state.instance import Instance
from modeld.serving.state.model_entry import ModelEntry
from modeld.serving.state.model_queue import SMOOTHING, ModelQueue
from modeld.serving.state.phases import (
    Closing,
    Discarded,
    Draining,
    Loaded,
    Loading,
    Ready,
    Withdrawn,
)

UNKNOWN_LOAD_S: Final = 1.0
"""How long the very first load is taken to last."""


def remaining_s(expected_s: float, elapsed_s: float) -> float:
    """Return how much longer something goes on that usually takes ``expected_s``."""
    return expected_s - elapsed_s if elapsed_s < expected_s else elapsed_s


class Forecast:
    """Looks ahead in the queue of a model and in the order of those that wait for memory."""

    def __init__(
        self, index: EntryIndex, ledger: Ledger, terms: Terms, waiting: WaitingOrder
    ) -> None:
        self._index = index
        self._ledger = ledger
        self._terms = terms
        self._waiting = waiting
        self._seconds_per_byte: float | None = None

    def learn(self, seconds: float, size_bytes: int) -> None:
        """Note what a load took, for models that were never loaded."""
        new = seconds / max(1, size_bytes)
        old = self._seconds_per_byte
        self._seconds_per_byte = new if old is None else old + SMOOTHING * (new - old)

    def queue_s(self, entry: ModelEntry, now_s: float) -> float | None:
        """Return in how many seconds a full queue will take one more, or ``None``."""
        ready_s = self.ready_s(entry, now_s)
        queue = entry.queue
        running = _remaining_s(queue, now_s)
        # Before a model takes requests, the first to end is one that has yet to begin: a whole
        # request after that moment.
        ends = ready_s + queue.mean_s if ready_s > 0 or not running else min(running)
        gives_up = min((each.deadline_s for each in queue.waiting), default=math.inf)
        wait_s = max(0.0, min(ends, gives_up - now_s))
        return wait_s if wait_s < math.inf else None

    def slot_s(self, entry: ModelEntry, now_s: float) -> float | None:
        """Return in how many seconds a request that came now would have a slot, or ``None``."""
        ready_s = self.ready_s(entry, now_s)
        if ready_s == math.inf:
            return None
        queue = entry.queue
        free_s = [ready_s] * queue.slots
        if ready_s <= 0:
            free_s = _remaining_s(queue, now_s)
            free_s += [0.0] * (queue.slots - len(free_s))
        heapq.heapify(free_s)
        for each in queue.waiting:
            if each.needs_slot:
                heapq.heapreplace(free_s, free_s[0] + queue.mean_s)
        return free_s[0] + self._away_s(entry, free_s[0] - ready_s, now_s)

    def _away_s(self, entry: ModelEntry, served_s: float, now_s: float) -> float:
        """Return how long others have the memory before the model has served for ``served_s``."""
        others = [each for each in self._index.wanting if each is not entry]
        if not others:
            return 0.0
        term_s = left_s = self._terms.longest_term_s
        from_s = self._terms.vacates_s(entry)
        if from_s < math.inf:
            left_s = max(0.0, from_s - now_s)
        if served_s <= left_s:
            return 0.0
        # What runs as a term ends goes on, so that a term lasts as long as a request at least; with
        # less, a short term would count a load for each request that outlasts it.
        terms = 1 + math.floor((served_s - left_s) / max(term_s, entry.queue.mean_s))
        round_s = math.fsum(map(self._tenure_s, others)) / max(1, len(self._index.resident))
        return terms * (round_s + entry.queue.mean_s + self._load_s(entry))

    def ready_s(self, entry: ModelEntry, now_s: float) -> float:
        """Return in how many seconds the model takes requests; 0 for now, infinite for never."""
        if not entry.instances:
            return self._load_s(entry) + self._memory_s(entry, now_s)
        return min(self._serves_s(entry, instance, now_s) for instance in entry.instances)

    def _serves_s(self, entry: ModelEntry, instance: Instance, now_s: float) -> float:
        """Return in how many seconds this instance takes requests, or the one that follows it."""
        match instance.phase:
            case Ready():
                return 0.0
            case Loading(started_s) | Loaded(started_s):
                return remaining_s(self._load_s(entry), now_s - started_s)
            case Withdrawn() | Draining() | Discarded() | Closing():
                if opens_s(entry, instance) <= now_s:
                    return 0.0
                again_s = entry.cooldown.remaining_s(now_s)
                if instance.phase.owner is not None:
                    again_s = self._memory_s(entry, now_s)
                return max(again_s, _work_s(entry, now_s)) + self._load_s(entry)
            case _:
                assert_never(instance.phase)

    def _memory_s(self, entry: ModelEntry, now_s: float) -> float:
        """Return in how many seconds the load has its bytes, the cool-down included."""
        cooling_s = entry.cooldown.remaining_s(now_s)
        size = entry.need.size
        if not self._ledger.can_hold_now(size + pinned(self._index.pinned, size)):
            return math.inf
        others = [each for each in self._index.wanting if each is not entry]
        # Bytes that are free while others wait for memory are promised to those that came before.
        short = size.beyond(self._ledger.free)
        if not others and not short:
            return cooling_s
        vacant_s = sorted(
            self._vacant_s(other, instance, now_s)
            for instance, other in self._index.resident.items()
            if not other.pinned and is_help(instance, short)
        )
        if not vacant_s:
            return cooling_s
        ahead = self._waiting.ahead(entry, now_s)
        rounds, index = divmod(len(ahead), len(vacant_s))
        each_s = math.fsum(map(self._tenure_s, ahead)) / max(1, len(ahead))
        return max(cooling_s, vacant_s[index] + rounds * each_s)

    def _tenure_s(self, entry: ModelEntry) -> float:
        """Return how long a model that waits will take its part of the memory."""
        return self._load_s(entry) + self._service_s(entry)

    def _service_s(self, entry: ModelEntry) -> float:
        """Return how long a model will serve before it is evicted: what waits, or its term."""
        queue = entry.queue
        if len(queue.waiting) > queue.slots:
            return self._terms.longest_term_s + queue.mean_s
        return max(self._terms.min_residence_s, queue.mean_s)

    def _vacant_s(self, entry: ModelEntry, instance: Instance, now_s: float) -> float:
        """Return in how many seconds what is in memory has left it, as far as one can say."""
        work_s = _work_s(entry, now_s)
        match instance.phase:
            case Loading(started_s) | Loaded(started_s):
                loading_s = remaining_s(self._load_s(entry), now_s - started_s)
                return loading_s + self._service_s(entry)
            case Withdrawn() | Draining() | Discarded() | Closing():
                return work_s
            case Ready(residence):
                if not entry.queue.waiting:
                    resident_until_s = residence.ready_s + self._terms.min_residence_s
                    return max(work_s, resident_until_s - now_s)
                from_s = self._terms.vacates_s(entry)
                if from_s == math.inf:
                    from_s = now_s + self._terms.longest_term_s
                return max(0.0, from_s - now_s) + work_s
            case _:
                assert_never(instance.phase)

    def _load_s(self, entry: ModelEntry) -> float:
        if entry.load_seconds > 0:
            return entry.load_seconds
        if self._seconds_per_byte is None:
            return UNKNOWN_LOAD_S
        return self._seconds_per_byte * entry.need.size_bytes


def _remaining_s(queue: ModelQueue, now_s: float) -> list[float]:
    """Return how much longer each of those who run is taken to go on."""
    running = queue.running.values()
    return [remaining_s(queue.mean_s, now_s - each.started_s) for each in running]


def _work_s(entry: ModelEntry, now_s: float) -> float:
    """Return in how many seconds what runs on a model is over."""
    return max(_remaining_s(entry.queue, now_s), default=0.0)
