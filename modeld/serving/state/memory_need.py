# SPDX-License-Identifier: GPL-3.0-only
"""How much memory a model needs, as far as it is known. Decides only, as the scheduler does."""

from __future__ import annotations

import math
from enum import Enum, auto
from typing import Final

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
    """What one version of a model's file needs with its options, in bytes.

    ``estimated_bytes`` is what the backend has computed or, better, measured without a load.
    ``held_bytes`` is what the model held once it was loaded; 0 before. ``is_measurable`` says that
    the backend may be asked to measure. ``most_bytes`` is what the machine has, which may be less
    than what the budget leaves free. Times are on the clock of the scheduler.

    ``trials`` are what may be tried where it can never fit, ``fitted`` is the one with which it
    does; the bytes are those with that one then. ``fitting`` is its receipt. Where none does,
    ``least`` is the smallest that was measured, in bytes, and what that would give up.
    """

    def __init__(
        self,
        estimated_bytes: int,
        *,
        is_measurable: bool = False,
        most_bytes: float = math.inf,
        trials: tuple[FitTrial, ...] = (),
    ) -> None:
        self.estimated_bytes = estimated_bytes
        self._most_bytes = most_bytes
        self.held_bytes = 0
        self._measurement = _Measurement.OPEN if is_measurable else _Measurement.SETTLED
        self._not_before_s = -math.inf
        self.trials = trials
        self.fitted: FitTrial | None = None
        self.fitting: Fitting | None = None
        self.least: tuple[int, str] | None = None
        self._full_bytes = estimated_bytes
        self._fitted_into: int | None = None

    @property
    def size_bytes(self) -> int:
        """Return what a load must reserve: the larger of the estimate and what was held before."""
        # Either may be too small: an estimate may leave something out, and what an engine takes
        # only as it needs it (a prefix cache) is not held yet when its load ends.
        return max(self.estimated_bytes, self.held_bytes)

    @property
    def is_being_measured(self) -> bool:
        """Return whether a measurement is under way."""
        return self._measurement is _Measurement.RUNNING

    def is_open(self, free: float, now_s: float) -> bool:
        """Return whether nobody can say if it fits into ``free`` bytes before it is measured."""
        if self.is_being_measured:
            return True
        # What was held in earnest needs no rehearsal.
        if self._measurement is _Measurement.SETTLED or self.held_bytes:
            return False
        free = min(free, self._most_bytes)
        return now_s >= self._not_before_s and self.estimated_bytes * CLEAR_SHARE > free

    def begin_measuring(self) -> None:
        """Note that a measurement begins; it ends with :meth:`settle` or :meth:`reopen`."""
        self._measurement = _Measurement.RUNNING

    def settle(self, measured_bytes: int | None) -> None:
        """Take what was measured instead of the estimate for good; ``None`` leaves that."""
        self._measurement = _Measurement.SETTLED
        if measured_bytes is not None:
            self.estimated_bytes = measured_bytes

    def fit(self, trial: FitTrial, full_bytes: int, size_bytes: int, ever_bytes: int) -> None:
        """Take a trial that needs ``size_bytes``, of the ``ever_bytes`` that there can be."""
        self.settle(size_bytes)
        self.fitted, self.fitting = trial, trial.receipt(full_bytes)
        self._full_bytes, self._fitted_into = full_bytes, ever_bytes

    def fit_in_vain(
        self, full_bytes: int, least_bytes: int, gives_up: str, ever_bytes: int
    ) -> None:
        """Note that no trial fits; with the smallest it would need ``least_bytes``."""
        self.settle(full_bytes)
        self.least = (least_bytes, gives_up) if gives_up else None
        self._full_bytes, self._fitted_into = full_bytes, ever_bytes

    def look_again(self, ever_bytes: int | None) -> None:
        """Forget what was found for another amount of memory; it is measured anew.

        Else what was given up once would stay given up, whatever memory comes.
        """
        if self._fitted_into is None or self._fitted_into == ever_bytes or self.is_being_measured:
            return
        self.fitted = self.fitting = self.least = self._fitted_into = None
        self.estimated_bytes, self.held_bytes = self._full_bytes, 0
        self._measurement, self._not_before_s = _Measurement.OPEN, -math.inf

    def reopen(self, not_before_s: float) -> None:
        """Note that the measurement has failed; it may be tried again from ``not_before_s`` on."""
        self._measurement = _Measurement.OPEN
        self._not_before_s = not_before_s
