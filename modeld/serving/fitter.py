# SPDX-License-Identifier: GPL-3.0-only
"""Measures what a model needs, and finds the fit steps with which it fits."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from modeld.device_bytes import DeviceBytes
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
        ever, full = self._ledger.ever, need.estimated
        measured = await self._loader.measure(entry, entry.options, full)
        if measured is not None:
            full = measured
        if full.fits_within(ever):
            need.settle(measured)
            return
        least, gives_up = full, ""
        for trial in _worth_measuring(need.trials, ever):
            size = await self._size(entry, trial)
            if size is None:
                continue
            if size.fits_within(ever):
                need.fit(trial, full, size, ever)
                said = trial.gives_up
                log.info("%s fits with less than configured: %s", entry.spec.id, said)
                return
            if size.beyond(ever).total_bytes <= least.beyond(ever).total_bytes:
                least, gives_up = size, trial.gives_up
        need.fit_in_vain(full, least, gives_up, ever)

    async def _size(self, entry: ModelEntry, trial: FitTrial) -> DeviceBytes | None:
        """Return what the model needs after a step; ``None`` where it cannot be had."""
        try:
            measured = await self._loader.measure(entry, trial.options, trial.estimated)
        except Exception as exc:  # noqa: BLE001  (another step may do; with none it is refused)
            model, said = entry.spec.id, described(exc)
            log.warning("%s: step %s is passed over: %s", model, trial.step, said)
            return None
        return trial.estimated if measured is None else measured


def _worth_measuring(trials: Sequence[FitTrial], ever: DeviceBytes) -> Iterator[FitTrial]:
    """Yield the trials that may fit, and the last one, whose size who is refused is told."""
    for trial in trials:
        if trial.estimated.fits_within(ever.times(CLEAR_SHARE)) or trial is trials[-1]:
            yield trial
