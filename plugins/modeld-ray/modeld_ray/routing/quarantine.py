# SPDX-License-Identifier: GPL-3.0-only
"""Keeps a model that takes hosts with it from taking them all."""

from __future__ import annotations

from typing import Final

from modeld_ray.errors import ModelQuarantinedError

MEMORY_S: Final = 600.0
"""Losses that are longer ago do not count."""


class Quarantine:
    """Counts hosts that were lost while they served a model, before its first token."""

    def __init__(self, losses: int, refused_s: float) -> None:
        self._losses = losses
        self._refused_s = refused_s
        self._lost: dict[str, dict[str, float]] = {}

    def note_loss(self, model: str, host: str, now_s: float) -> None:
        """Count a host that was lost with a request for this model; one host counts once.

        Many requests are lost with one host, and one of them at most has killed it.
        """
        if not model:  # what is asked of any host is no model's fault
            return
        lost = self._lost.setdefault(model, {})
        lost[host] = now_s
        for other, lost_s in list(lost.items()):
            if now_s - lost_s > MEMORY_S:
                del lost[other]

    def note_served(self, model: str) -> None:
        """Forget what was counted: the model works."""
        self._lost.pop(model, None)

    def check(self, model: str, now_s: float) -> None:
        """Let a request for the model pass.

        Raises:
            ModelQuarantinedError: as many hosts were lost as may be, not long ago.
        """
        lost = self._lost.get(model, {})
        if len(lost) < self._losses:
            return
        rest_s = max(lost.values()) + self._refused_s - now_s
        if rest_s > 0:
            raise ModelQuarantinedError(
                f"{self._losses} hosts were lost while they served {model!r}; it is not tried again"
                f" for {rest_s:.0f} s",
                retry_after_s=rest_s,
                field="model",
            )
