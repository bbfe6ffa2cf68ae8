# SPDX-License-Identifier: GPL-3.0-only
"""Finds out what a model needs, and where it can never fit, with how much less it does."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence

from modeld.plugins.guard import described
from modeld.serving.loader import Loader
from modeld.serving.models.fit_trials import CLEAR_SHARE, FitTrial
from modeld.serving.state.budget import Ledger
from modeld.serving.state.memory_need import MemoryNeed
from modeld.serving.state.model_entry import ModelEntry

log = logging.getLogger("modeld.fit")


class Fitter:
    """Measures with ``loader``; ``ledger`` says what can ever fit.

    Nothing is taken from a model so that it waits less, or so that others may stay: what it can do
    would depend on what else is asked for. Only one that would never be served is served with less.
    """

    def __init__(self, loader: Loader, ledger: Ledger) -> None:
        self._loader = loader
        self._ledger = ledger

    async def settle(self, entry: ModelEntry, need: MemoryNeed) -> None:
        """Settle what a model needs: as it is configured, or after the first step that fits.

        Where none does, it counts as it is configured, and can never fit.

        Raises:
            Exception: whatever the backend raises of the model as it is configured.
        """
        ever_bytes = self._ledger.ever_bytes
        full_bytes = need.estimated_bytes
        measured_bytes = await self._loader.measure(entry, entry.options, full_bytes)
        if measured_bytes is not None:
            full_bytes = measured_bytes
        if ever_bytes is None or full_bytes <= ever_bytes:
            need.settle(measured_bytes)
            return
        least_bytes, gives_up = full_bytes, ""
        for trial in _worth_measuring(need.trials, ever_bytes):
            size_bytes = await self._size_bytes(entry, trial)
            if size_bytes <= ever_bytes:
                need.fit(trial, full_bytes, int(size_bytes), ever_bytes)
                said = trial.gives_up
                log.info("%s fits with less than configured: %s", entry.spec.id, said)
                return
            if size_bytes <= least_bytes:
                least_bytes, gives_up = int(size_bytes), trial.gives_up
        need.fit_in_vain(full_bytes, least_bytes, gives_up, ever_bytes)

    async def _size_bytes(self, entry: ModelEntry, trial: FitTrial) -> float:
        """Return what the model needs after a step; infinite where it cannot be had."""
        estimated_bytes = trial.estimated_bytes
        try:
            measured = await self._loader.measure(entry, trial.options, estimated_bytes)
        except Exception as exc:  # noqa: BLE001  (another step may do; with none it is refused)
            model, said = entry.spec.id, described(exc)
            log.warning("%s: step %s is passed over: %s", model, trial.step, said)
            return math.inf
        return estimated_bytes if measured is None else measured


def _worth_measuring(trials: Sequence[FitTrial], ever_bytes: int) -> Iterator[FitTrial]:
    """Yield the trials that may fit, and the last one, whose size who is refused is told."""
    for trial in trials:
        if trial.estimated_bytes <= CLEAR_SHARE * ever_bytes or trial is trials[-1]:
            yield trial
