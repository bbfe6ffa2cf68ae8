# SPDX-License-Identifier: GPL-3.0-only
"""What a model that is to leave memory may still serve while long requests keep it there.

As in EASY backfilling: what is let in must be forecast to end no later than what runs already. A
request that has run for long is forecast to run as long again as it has; one that is let in, to
take what requests of the model take on average. Only requests that ran when the model was claimed
count as long work, so at most one request a slot ends after them, whatever the forecasts are worth.
"""

from __future__ import annotations

import math
from typing import Final, assert_never

from modeld.serving.state.instance import Instance
from modeld.serving.state.model_entry import ModelEntry
from modeld.serving.state.phases import (
    Closing,
    Discarded,
    Draining,
    Loaded,
    Loading,
    Ready,
    Withdrawn,
)
from modeld.status import EvictionReason

LONG: Final = 2.0
"""So many times the average a request must have run for others to be let in beside it."""

_SERVE_ON: Final = (EvictionReason.MAKE_ROOM, EvictionReason.UNLOAD_REQUESTED)
"""What a changed file would serve is not what was asked for, and a dead worker serves nothing."""


def opens_s(entry: ModelEntry, instance: Instance) -> float:
    """Return from when on a leaving instance takes requests; infinite for never."""
    match instance.phase:
        case Draining(reason=reason, anchors=anchors):
            if reason not in _SERVE_ON or entry.is_outdated(instance):
                return math.inf
            # Were those that were let in to count too, each would let in the next, and who waits
            # for the memory would wait for ever.
            running = entry.queue.running
            still = (running[each].started_s for each in anchors if each in running)
            return min(still, default=math.inf) + LONG * entry.queue.mean_s
        case Loading() | Withdrawn() | Loaded() | Ready() | Discarded() | Closing():
            return math.inf
        case _:
            assert_never(instance.phase)
