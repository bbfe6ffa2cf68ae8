# SPDX-License-Identifier: GPL-3.0-only
"""How long modeld waits for a load and for a request, and what that leaves to a server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from modeld import Settings
from modeld_upstream.servers import UpstreamServer
from modeld_upstream.spawning.readiness import Start

BEFORE_MODELD: Final = 0.9
"""The part of modeld's own limit after which a start is given up: here the reason is known."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What modeld allows: ``load_s`` without progress of a load, ``stall_s`` of a request."""

    load_s: float
    stall_s: float

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """Return the limits in modeld's settings."""
        return cls(load_s=settings.load_timeout_s, stall_s=settings.stall_timeout_s)

    def start_of(self, server: UpstreamServer, now_s: float) -> Start:
        """Return the watch of a start that begins now."""
        longest_s = self.load_s * BEFORE_MODELD
        return Start(
            stall_s=min(server.start_stall_s or longest_s, longest_s),
            timeout_s=server.start_timeout_s,
            now_s=now_s,
        )
