# SPDX-License-Identifier: GPL-3.0-only
"""The memory budget of one service, as its settings and its machine make it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

from modeld.interfaces import Backend
from modeld.machine.auto_budget import AutoBudget, read_auto_budget, read_gpu_budget
from modeld.machine.files import Machine
from modeld.machine.memory import read_capacity
from modeld.plugins.guard import called
from modeld.serving.memory.memory_watch import MemoryWatch
from modeld.serving.memory.neighbours import Neighbours
from modeld.serving.state.budget import Ledger
from modeld.serving.state.model_entry import ModelEntry
from modeld.settings import Settings

log = logging.getLogger("modeld.budget")


class MachineBudget:
    """Makes the ledger and what watches it, and says how the budget came about."""

    def __init__(
        self, settings: Settings, machine: Machine, backends: Iterable[Backend] = ()
    ) -> None:
        self.capacity = read_capacity(machine)
        self._settings = settings
        self._machine = machine
        self._neighbours = Neighbours(machine)
        self._gpus = _gpu_budget(machine, backends)
        self._auto: AutoBudget | None = None
        if settings.is_budget_auto:
            hidden_bytes = self._neighbours.hidden_bytes()
            self._auto = self._gpus or read_auto_budget(machine, hidden_bytes=hidden_bytes)
        self.ledger = self._ledger()

    @property
    def size_bytes(self) -> int | None:
        """Return the budget of this moment, its margin included; ``None`` for unlimited."""
        limit = self.ledger.limit_bytes
        return None if limit is None else limit + self._settings.margin_bytes

    @property
    def most_bytes(self) -> int | None:
        """Return what one model may need at most, whatever else runs; ``None`` for any amount."""
        return self.ledger.ever_bytes

    @property
    def said(self) -> str:
        """Return how the budget came about, in words."""
        if self._auto is not None:
            return self.ledger.said
        return "memory_budget_mb" if self._settings.memory_budget_mb else "unlimited (0)"

    def watch(
        self,
        workers: Callable[[], Sequence[int]],
        entries: Mapping[str, ModelEntry],
        limit: Callable[[int, str], None],
        sessions: Callable[[], int],
    ) -> MemoryWatch | None:
        """Return what moves the ledger's limit; ``None`` where models are not in main memory."""
        if self._gpus is not None:
            return None
        return MemoryWatch(
            self._machine,
            self.ledger,
            self._neighbours,
            workers=workers,
            entries=entries,
            limit=limit,
            sessions=sessions,
            margin_bytes=self._auto.margin_bytes if self._auto is not None else 0,
            kept_bytes=self._settings.margin_bytes,
        )

    def close(self) -> None:
        """Hold nothing any more, as far as other servers know."""
        self._neighbours.close()

    def tell(self) -> None:
        """Log what the budget is, and warn where there is none."""
        size_bytes = self.size_bytes
        if size_bytes is not None:
            kept_mb = self._settings.memory_margin_mb
            kept = f", of which {kept_mb} MiB stay free" if kept_mb else ""
            log.info("the memory budget is %d MiB (%s)%s", size_bytes >> 20, self.said, kept)
            return
        if self._auto is None:
            log.warning(
                "the memory budget is unlimited (memory_budget_mb 0), so models may take the memory"
                " that other programs need; auto keeps them to what those leave"
            )
        else:
            log.warning("the memory budget is %s; set memory_budget_mb", self.said)
        if self.capacity.size_bytes is None:
            why = self.capacity.said
            log.info("a model may be larger than the memory: %s; memory_budget_mb limits it", why)

    def _ledger(self) -> Ledger:
        kept_bytes = self._settings.margin_bytes
        if self._auto is None:
            size_bytes = self._settings.budget_bytes
            limit_bytes = None if size_bytes is None else size_bytes - kept_bytes
            return Ledger(limit_bytes, self.capacity)
        size_bytes, most_bytes, _, said = self._auto
        if size_bytes is None or most_bytes is None:
            return Ledger(None, self.capacity, said=said)
        return Ledger(
            max(0, size_bytes - kept_bytes),
            self.capacity,
            most_bytes=max(0, most_bytes - kept_bytes),
            said=said,
        )


def read_budget(machine: Machine, backends: Iterable[Backend]) -> AutoBudget:
    """Return the budget of this moment, without what other servers have promised."""
    return _gpu_budget(machine, backends) or read_auto_budget(machine)


def _gpu_budget(machine: Machine, backends: Iterable[Backend]) -> AutoBudget | None:
    return read_gpu_budget(machine) if any(map(_uses_gpus, backends)) else None


def _uses_gpus(backend: Backend) -> bool:
    """Return what the backend says; one that cannot say it uses none."""
    try:
        return bool(called(f"backend {backend.name!r}: uses_gpus", backend.uses_gpus))
    except Exception as exc:  # noqa: BLE001  (a plugin's fault must not stop the server)
        log.warning("%s", exc)
        return False
