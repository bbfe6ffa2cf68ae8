# SPDX-License-Identifier: GPL-3.0-only
"""The memory budget of one service, as its settings and its machine make it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

from modeld.interfaces import Backend
from modeld.machine.auto_budget import (
    AutoBudget,
    GpuBudget,
    read_auto_budget,
    read_gpu_budgets,
)
from modeld.machine.files import Machine
from modeld.machine.memory import Capacity, main_capacity, read_capacity
from modeld.plugins.guard import called
from modeld.serving.memory.memory_watch import MemoryWatch
from modeld.serving.memory.neighbours import Neighbours
from modeld.serving.state.budget import DeviceLimit, Ledger
from modeld.serving.state.model_entry import ModelEntry
from modeld.settings import Settings
from modeld.status import MAIN, DeviceStatus

log = logging.getLogger("modeld.budget")


class MachineBudget:
    """Makes the ledger and what watches it, and says how the budget came about.

    Main memory is a device of its own, and so is each GPU that has memory and that a backend uses.
    """

    def __init__(
        self, settings: Settings, machine: Machine, backends: Iterable[Backend] = ()
    ) -> None:
        self._settings = settings
        self._machine = machine
        self._neighbours = Neighbours(machine)
        self.auto: AutoBudget | None = None
        gpus = read_gpu_budgets(machine) if any(map(_uses_gpus, backends)) else {}
        # Where no backend says what it has on GPUs, it may be anything up to all of their memory.
        capacity = main_capacity(machine) if gpus else read_capacity(machine)
        if settings.is_budget_auto:
            hidden_bytes = self._neighbours.hidden_bytes()
            self.auto = read_auto_budget(machine, hidden_bytes=hidden_bytes)
        main = self._limit(MAIN, settings.budget_bytes, self.auto, capacity)
        self.ledger = Ledger(main, {name: self._gpu(name, each) for name, each in gpus.items()})

    @property
    def size_bytes(self) -> int | None:
        """Return the budget of main memory now, its margin included; ``None`` for unlimited."""
        return self.size_of(self.ledger.main)

    def size_of(self, limit: DeviceLimit) -> int | None:
        """Return the budget of a device now, its margin included; ``None`` for unlimited."""
        limit_bytes = limit.limit_bytes
        return None if limit_bytes is None else limit_bytes + self._settings.margin_bytes

    @property
    def said(self) -> str:
        """Return how the budget of main memory came about, in words."""
        return self.ledger.main.said

    def watch(
        self,
        workers: Callable[[], Sequence[int]],
        entries: Mapping[str, ModelEntry],
        limit: Callable[[int, str, str], None],
        sessions: Callable[[], int],
    ) -> MemoryWatch:
        """Return what moves the limits of the ledger."""
        return MemoryWatch(
            self._machine,
            self.ledger,
            self._neighbours,
            workers=workers,
            entries=entries,
            limit=limit,
            sessions=sessions,
            margin_bytes=self.auto.margin_bytes if self.auto is not None else 0,
            kept_bytes=self._settings.margin_bytes,
        )

    def statuses(self) -> tuple[DeviceStatus, ...]:
        """Return what models may hold and do hold of each device, main memory first."""
        return tuple(
            DeviceStatus(
                device=each.device,
                budget_bytes=self.size_of(each),
                budget_origin=each.said,
                held_bytes=int(each.held_bytes),
                margin_bytes=self._settings.margin_bytes,
            )
            for each in self.ledger.limits
        )

    def close(self) -> None:
        """Hold nothing any more, as far as other servers know."""
        self._neighbours.close()

    def tell(self) -> None:
        """Log what the budget is, and warn where there is none."""
        size_bytes = self.size_bytes
        kept_mb = self._settings.memory_margin_mb
        kept = f", of which {kept_mb} MiB stay free" if kept_mb else ""
        for each in self.ledger.gpus.values():
            gpu_bytes = self.size_of(each)
            size = "unlimited" if gpu_bytes is None else f"{gpu_bytes >> 20} MiB"
            log.info("the memory budget of %s is %s (%s)%s", each.device, size, each.said, kept)
        if size_bytes is not None:
            log.info("the memory budget is %d MiB (%s)%s", size_bytes >> 20, self.said, kept)
            return
        if self.auto is None:
            log.warning(
                "the memory budget is unlimited (memory_budget_mb 0), so models may take the memory"
                " that other programs need; auto keeps them to what those leave"
            )
        else:
            log.warning("the memory budget is %s; set memory_budget_mb", self.said)
        capacity = self.ledger.main.capacity
        if capacity.size_bytes is None:
            why = capacity.said
            log.info("a model may be larger than the memory: %s; memory_budget_mb limits it", why)

    def _gpu(self, name: str, gpu: GpuBudget) -> DeviceLimit:
        set_bytes = self._settings.gpu_budget_bytes(name)
        return self._limit(name, set_bytes, gpu.auto if set_bytes == "auto" else None, gpu.capacity)

    def _limit(
        self,
        device: str,
        set_bytes: int | Literal["auto"] | None,
        auto: AutoBudget | None,
        capacity: Capacity,
    ) -> DeviceLimit:
        kept_bytes = self._settings.margin_bytes
        if auto is None:
            assert set_bytes != "auto", "a budget that the machine tells is one"
            limit_bytes = None if set_bytes is None else max(0, set_bytes - kept_bytes)
            setting = "memory_budget_mb" if device == MAIN else "gpu_budget_mb"
            said = "unlimited (0)" if set_bytes is None else setting
            return DeviceLimit(limit_bytes, capacity, device=device, said=said)
        size_bytes, most_bytes, _, said = auto
        if size_bytes is None or most_bytes is None:
            return DeviceLimit(None, capacity, device=device, said=said)
        return DeviceLimit(
            max(0, size_bytes - kept_bytes),
            capacity,
            device=device,
            most_bytes=max(0, most_bytes - kept_bytes),
            said=said,
        )


def _uses_gpus(backend: Backend) -> bool:
    """Return what the backend says; one that cannot say it uses none."""
    try:
        return bool(called(f"backend {backend.name!r}: uses_gpus", backend.uses_gpus))
    except Exception as exc:  # noqa: BLE001  (a plugin's fault must not stop the server)
        log.warning("%s", exc)
        return False
