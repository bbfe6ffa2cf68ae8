# SPDX-License-Identifier: GPL-3.0-only
"""How much memory a model needs, as far as it is known. Decides only, as the scheduler does."""

from __future__ import annotations

import math
from enum import Enum, auto
from typing import Final

from modeld.device_bytes import NOTHING, UNLIMITED, DeviceBytes
from modeld.serving.models.fit_trials import CLEAR_SHARE, FitTrial
from modeld.status import Fitting

RETRY_S: Final = 60.0
"""How long an estimate that fits counts in place of a measurement that has failed."""


class _Measurement(Enum):
    """Where the measurement of a model is."""

    OPEN = auto()
    RUNNING = auto()
    SETTLED = auto()


class MemoryNeed:
    """What one version of a model's file needs with its options, on each device.

    ``estimated`` is what the backend has computed or, better, measured without a load; a number is
    of main memory. ``held`` is what the model held once it was loaded; nothing before.
    ``is_measurable`` says that the backend may be asked to measure. ``most`` is what the machine
    has, which may be less than what the budget leaves free. Times are on the clock of the
    scheduler.

    ``full`` is what it needs as it is configured, as far as that is known.
    ``trials`` are what may be tried where it can never fit, ``fitted`` is the one with which it
    does; the bytes are those with that one then. ``fitting`` is its receipt. Where none does,
    ``least`` is the smallest that was measured, and what that would give up.
    """

    def __init__(
        self,
        estimated: int | DeviceBytes,
        *,
        is_measurable: bool = False,
        most: DeviceBytes = UNLIMITED,
        trials: tuple[FitTrial, ...] = (),
    ) -> None:
        self.estimated = DeviceBytes.of(estimated)
        self._most = most
        self.held = NOTHING
        self._measurement = _Measurement.OPEN if is_measurable else _Measurement.SETTLED
        self._not_before_s = -math.inf
        self.trials = trials
        self.fitted: FitTrial | None = None
        self.fitting: Fitting | None = None
        self.least: tuple[DeviceBytes, str] | None = None
        self.full = self.estimated
        self._fitted_into: DeviceBytes | None = None

    @property
    def size(self) -> DeviceBytes:
        """Return what a load must reserve: the larger of the estimate and what was held before."""
        # Either may be too small: an estimate may leave something out, and what an engine takes
        # only as it needs it (a prefix cache) is not held yet when its load ends.
        if self.estimated.gpus or not self.held.gpus:
            return self.estimated.larger(self.held)
        # An estimate that names no device is all of main memory. Where the model has turned out to
        # be on GPUs, the larger on each device would count its weights on both.
        missing = self.estimated.total_bytes - self.held.total_bytes
        return self.held + DeviceBytes(max(0, missing))

    @property
    def size_bytes(self) -> int:
        """Return what a load must reserve on all devices together."""
        return self.size.total_bytes

    @property
    def estimated_bytes(self) -> int:
        """Return the estimate for all devices together."""
        return self.estimated.total_bytes

    @property
    def is_being_measured(self) -> bool:
        """Return whether a measurement is under way."""
        return self._measurement is _Measurement.RUNNING

    def is_open(self, free: DeviceBytes, now_s: float) -> bool:
        """Return whether nobody can say if it fits into what is free before it is measured."""
        if self.is_being_measured:
            return True
        # What was held in earnest needs no rehearsal.
        if self._measurement is _Measurement.SETTLED or self.held:
            return False
        if now_s < self._not_before_s:
            return False
        wanted = self.estimated.times(CLEAR_SHARE)
        return not (wanted.fits_within(free) and wanted.fits_within(self._most))

    def begin_measuring(self) -> None:
        """Note that a measurement begins; it ends with :meth:`settle` or :meth:`reopen`."""
        self._measurement = _Measurement.RUNNING

    def settle(self, measured: int | DeviceBytes | None) -> None:
        """Take what was measured instead of the estimate for good; ``None`` leaves that."""
        self._measurement = _Measurement.SETTLED
        if measured is not None:
            self.estimated = DeviceBytes.of(measured)

    def fit(self, trial: FitTrial, full: DeviceBytes, size: DeviceBytes, ever: DeviceBytes) -> None:
        """Take a trial that needs ``size``, of what there can ``ever`` be."""
        self.settle(size)
        self.fitted, self.fitting = trial, trial.receipt(full.total_bytes)
        self.full, self._fitted_into = full, ever

    def fit_in_vain(
        self, full: DeviceBytes, least: DeviceBytes, gives_up: str, ever: DeviceBytes
    ) -> None:
        """Note that no trial fits; with the smallest it would need ``least``."""
        self.settle(full)
        self.least = (least, gives_up) if gives_up else None
        self.full, self._fitted_into = full, ever

    def look_again(self, ever: DeviceBytes) -> None:
        """Forget what was found for another amount of memory; it is measured anew.

        Else what was given up once would stay given up, whatever memory comes.
        """
        if self._fitted_into is None or self._fitted_into == ever or self.is_being_measured:
            return
        self.fitted = self.fitting = self.least = self._fitted_into = None
        self.estimated, self.held = self.full, NOTHING
        self._measurement, self._not_before_s = _Measurement.OPEN, -math.inf

    def reopen(self, not_before_s: float) -> None:
        """Note that the measurement has failed; it may be tried again from ``not_before_s`` on."""
        self._measurement = _Measurement.OPEN
        self._not_before_s = not_before_s
