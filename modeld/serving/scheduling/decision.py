# SPDX-License-Identifier: GPL-3.0-only
"""A decision of the scheduler, as plain data for the pool to carry out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from modeld.errors import WorkerCrashedError
from modeld.interfaces import Engine
from modeld.serving.state.instance import Instance
from modeld.serving.state.model_entry import ModelEntry
from modeld.serving.state.phases import Closing


@dataclass(frozen=True, slots=True)
class Death:
    """An engine was found dead, and how it died. Its close follows in the same decision."""

    entry: ModelEntry
    engine: Engine
    failure: WorkerCrashedError


@dataclass(frozen=True, slots=True)
class Load:
    """An instance is to be loaded; its bytes are reserved."""

    entry: ModelEntry
    instance: Instance


@dataclass(frozen=True, slots=True)
class Close:
    """An instance's engine is to be closed; nobody is served by it any more."""

    entry: ModelEntry
    instance: Instance
    phase: Closing


@dataclass(slots=True)
class Decision:
    """What the pool has to do now, and when to ask again (on the clock of the arguments)."""

    deaths: list[Death] = field(default_factory=list)
    measurements: list[ModelEntry] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)
    closes: list[Close] = field(default_factory=list)
    wake_s: float = math.inf

    def ask_again(self, at_s: float) -> None:
        """Note a time at which more can be decided than now."""
        self.wake_s = min(self.wake_s, at_s)
