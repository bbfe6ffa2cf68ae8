# SPDX-License-Identifier: GPL-3.0-only
"""Finds out what a model needs, and where it can never fit, with how much less it does."""

from __future__ import annotations

import logging

from modeld.plugins.guard import described
from modeld.serving.loader import Loader
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
        measured_bytes = await self._loader.measure(entry, entry.options)
        full_bytes = need.estimated_bytes if measured_bytes is None else measured_bytes
        if ever_bytes is None or full_bytes <= ever_bytes:
            need.settle(measured_bytes)
            return
        least_bytes, tried = full_bytes, ""
        for trial in need.trials:
            try:
                measured = await self._loader.measure(entry, trial.options)
            except Exception as exc:  # noqa: BLE001  (another step may do; with none it is refused)
                log.warning(
                    "%s: step %s is passed over: %s", entry.spec.id, trial.step, described(exc)
                )
                continue
            size_bytes = trial.estimated_bytes if measured is None else measured
            if size_bytes <= ever_bytes:
                need.fit(trial, full_bytes, size_bytes, ever_bytes)
                log.info("%s fits with less than configured: %s", entry.spec.id, trial.gives_up)
                return
            if size_bytes <= least_bytes:
                least_bytes, tried = size_bytes, trial.gives_up
        need.fit_in_vain(full_bytes, least_bytes, tried, ever_bytes)
