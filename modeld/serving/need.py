# SPDX-License-Identifier: GPL-3.0-only
"""How much memory a model needs, as far as it is known. Decides only, as all of the turns do."""

from __future__ import annotations

from typing import Final

CLEAR_SHARE: Final = 1.25
"""An estimate that fits so many times over leaves nothing open."""


class Need:
    """What one version of a model's file needs with its options, in bytes.

    ``estimated_bytes`` is what the backend has computed or, better, measured without a load.
    ``held_bytes`` is what the model held once it was loaded; 0 before. ``is_measurable`` until the
    backend was asked to measure.
    """

    def __init__(self, estimated_bytes: int, *, is_measurable: bool = False) -> None:
        self.estimated_bytes = estimated_bytes
        self.held_bytes = 0
        self.is_measurable = is_measurable
        self.is_being_measured = False

    @property
    def size_bytes(self) -> int:
        """What a load must reserve: the larger of the estimate and what was held before."""
        return max(self.estimated_bytes, self.held_bytes)

    def is_open(self, free: float) -> bool:
        """Whether it must be measured before anyone can say if it fits into ``free`` bytes."""
        if self.is_being_measured:
            return True
        if not self.is_measurable or self.held_bytes:
            return False
        return self.estimated_bytes * CLEAR_SHARE > free

    def settle(self, measured_bytes: int | None) -> None:
        """Take what was measured in the estimate's place; ``None`` leaves the estimate."""
        self.is_measurable = self.is_being_measured = False
        if measured_bytes is not None:
            self.estimated_bytes = measured_bytes
