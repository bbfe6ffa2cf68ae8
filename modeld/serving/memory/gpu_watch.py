# SPDX-License-Identifier: GPL-3.0-only
"""Follows what other programs leave of each GPU's own memory."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final

from modeld.machine.auto_budget import AutoBudget, margin_bytes, read_gpu_budgets
from modeld.machine.files import Machine
from modeld.serving.state.budget import DeviceLimit
from modeld.serving.state.moving_limit import MovingLimit

STEPS: Final = 4
"""A limit moves by a part of the margin, so that the margin has room for what moves nothing."""

log = logging.getLogger("modeld.budget")


class GpuWatch:
    """Moves the limits of GPUs that were made to move.

    ``limit`` is told each new limit, how it came about, and of which GPU. ``kept_bytes`` stay free
    beside the margin.
    """

    def __init__(
        self,
        machine: Machine,
        gpus: Mapping[str, DeviceLimit],
        *,
        limit: Callable[[int, str, str], None],
        kept_bytes: int,
    ) -> None:
        self._machine = machine
        self._apply = limit
        self._kept_bytes = kept_bytes
        self._gpus = {name: each for name, each in gpus.items() if each.moves}
        self._limits = {name: _moving(each) for name, each in self._gpus.items()}

    @property
    def may_fall(self) -> bool:
        """Return whether the last look has seen less of one, and the next one decides."""
        return any(each.may_fall for each in self._limits.values())

    def held(self) -> dict[str, int]:
        """Return what models hold of each GPU that is watched, in bytes."""
        return {name: int(each.held_bytes) for name, each in self._gpus.items()}

    def read(self, held: Mapping[str, int]) -> dict[str, AutoBudget]:
        """Return the budgets of this moment; it asks the driver, which may take a while.

        What models hold of a GPU counts as theirs up to all that is used of it: the driver does not
        tell everywhere who uses what. While a load is under way others may so be overlooked, and a
        limit that falls for models that are loaded already cannot come of it.
        """
        return {
            name: found.auto
            for name, found in read_gpu_budgets(self._machine, held).items()
            if name in self._limits
        }

    def take_in(self, seen: Mapping[str, AutoBudget], now_s: float) -> None:
        """Let the limits follow what was seen."""
        for name, found in seen.items():
            if found.size_bytes is None:
                continue  # it does not tell any more, and says nothing of what others use
            moving, most_bytes = self._limits[name], self._gpus[name].most_bytes
            size_bytes = max(0, found.size_bytes - self._kept_bytes)
            if most_bytes is not None:
                size_bytes = min(size_bytes, most_bytes)
            before = moving.limit_bytes
            if moving.see(size_bytes, now_s):
                how = "falls" if moving.limit_bytes < before else "rises"
                size_mb = moving.limit_bytes >> 20
                log.info("the memory budget of %s %s to %d MiB; %s", name, how, size_mb, found.said)
                self._apply(moving.limit_bytes, found.said, name)


def _moving(gpu: DeviceLimit) -> MovingLimit:
    margin = margin_bytes(gpu.capacity.size_bytes or gpu.limit_bytes or 0)
    return MovingLimit(gpu.limit_bytes or 0, max(1, margin // STEPS))
