# SPDX-License-Identifier: GPL-3.0-only
"""Models that hold more, once loaded, than was reserved for them. Decides only."""

from __future__ import annotations

from modeld.device_bytes import NOTHING, DeviceBytes
from modeld.errors import ModeldError
from modeld.serving.scheduling import refusals
from modeld.serving.scheduling.entry_index import EntryIndex
from modeld.serving.scheduling.eviction.evictable import held
from modeld.serving.scheduling.eviction.planner import EvictionPlanner
from modeld.serving.scheduling.forecast import Forecast
from modeld.serving.state.budget import Ledger
from modeld.serving.state.instance import Instance
from modeld.serving.state.model_entry import ModelEntry
from modeld.serving.state.phases import Loaded
from modeld.status import EvictionReason


class Growth:
    """Makes loaded models ready, and first finds the bytes for those that have grown."""

    def __init__(
        self, index: EntryIndex, ledger: Ledger, eviction: EvictionPlanner, forecast: Forecast
    ) -> None:
        self._index = index
        self._ledger = ledger
        self._eviction = eviction
        self._forecast = forecast

    def promised(self) -> DeviceBytes:
        """Return the free bytes that loaded models take, beyond what their victims will give.

        They are in use, though no reservation says so yet. A load that counted them as free would
        overdraw the memory itself, whatever the ledger says.
        """
        grown = (_promised(instance, entry) for instance, entry in self._index.grown.items())
        return sum(grown, NOTHING)

    def settle(self, now_s: float) -> None:
        """Make loaded models ready, first counting what they hold beyond their reservation.

        In the order of their loads, so that two which have grown never wait for the same bytes.
        """
        if not self._index.loaded:
            return
        loaded = [
            (instance.phase, instance, entry)
            for instance, entry in self._index.loaded.items()
            if isinstance(instance.phase, Loaded)
        ]
        free = self._ledger.free - self.promised()
        # Promises of those that are looked at now are settled one by one below, and not twice.
        free += sum((_promised(instance, entry) for _, instance, entry in loaded), NOTHING)
        for phase, instance, entry in sorted(loaded, key=lambda each: each[0].started_s):
            growth = instance.growth
            # What has not grown holds what was reserved, also where the limit has fallen since.
            if growth.fits_within(free.positive()):
                instance.reservation.grow_to(phase.residence.measured)
                instance.admit()
                self._index.young[instance] = entry
                # What was to go for it and is not needed any more serves on.
                self._eviction.release(entry)
                free -= growth
            else:
                if not self._eviction.make_to_grow(entry, growth, free, now_s):
                    self._refuse(entry, instance, now_s)
                free -= _promised(instance, entry)
            self._index.sort(entry)

    def _refuse(self, entry: ModelEntry, instance: Instance, now_s: float) -> None:
        """Let what was loaded go again; the next load will reserve what was measured."""
        instance.leave(EvictionReason.MAKE_ROOM, entry.queue.running)
        forecast_s = self._forecast.slot_s(entry, now_s)
        error: ModeldError = refusals.has_grown(entry, instance, forecast_s)
        if not self._ledger.can_ever_hold(instance.held + instance.growth):
            error = refusals.never_fits(entry, self._ledger, instance.held + instance.growth)
        entry.last_error = error.message
        entry.queue.fail(error)


def _promised(instance: Instance, entry: ModelEntry) -> DeviceBytes:
    return instance.growth.beyond(held(entry.victims))
