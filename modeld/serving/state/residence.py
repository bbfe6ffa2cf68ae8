# SPDX-License-Identifier: GPL-3.0-only
"""What a model has while it is in memory: its engine, and the times that eviction goes by."""

from __future__ import annotations

import math

from modeld.device_bytes import DeviceBytes
from modeld.interfaces import Engine
from modeld.requests import KeepAliveSeconds
from modeld.status import Fitting


class Residence:
    """One stay in memory, from the end of the load until the engine is closed.

    ``measured`` is what the engine said it holds as the load ended, ``ready_s`` when that
    was, ``load_seconds`` how long it took. ``last_used_s`` moves with every request that begins or
    ends. ``keep_alive_s`` is what the last request said that said how long it may be unused.
    ``term_since_s`` is when it first served while others waited for memory. ``fitting`` is what the
    model goes without to fit.
    """

    __slots__ = (
        "engine",
        "fitting",
        "keep_alive_s",
        "last_used_s",
        "load_seconds",
        "measured",
        "ready_s",
        "term_since_s",
    )

    def __init__(self, engine: Engine, *, started_s: float, ready_s: float) -> None:
        self.engine = engine
        # Read once: the ledger is settled by these numbers, whatever the engine says later.
        self.measured = DeviceBytes.split(engine.held_bytes, engine.held_on_gpus)
        self.load_seconds = ready_s - started_s
        self.ready_s = self.last_used_s = ready_s
        self.keep_alive_s: KeepAliveSeconds | None = None
        self.term_since_s = -math.inf
        self.fitting: Fitting | None = None

    def load_wait_s(self, since_s: float) -> float:
        """Return how much of its load somebody has waited for who had come at ``since_s``."""
        return max(0.0, min(self.load_seconds, self.ready_s - since_s))

    def begin_use(self, now_s: float, keep_alive_s: KeepAliveSeconds | None) -> None:
        """Note that a request begins, and how long it wants the model to stay, if it says so."""
        self.last_used_s = now_s
        if keep_alive_s is not None:
            self.keep_alive_s = keep_alive_s
