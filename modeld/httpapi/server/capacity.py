# SPDX-License-Identifier: GPL-3.0-only
"""How many connections a server accepts, by its limit on open files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

RESERVE: Final = 64
"""Connections beyond the limit, on which probes are answered and everybody else is refused."""

ACCEPTS: Final = 32
"""Connections that are accepted before the first of them is looked at."""

OTHER_FILES: Final = 256
"""Open files beside connections: the workers' channels and logs, model files that are read."""

_FEWEST_OTHER_FILES: Final = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """``connections`` are served; ``reserve`` more are kept open for probes and refusals.

    ``accepts`` are accepted at once. The kernel keeps the others, which costs no open file.
    """

    connections: int
    reserve: int = RESERVE
    accepts: int = ACCEPTS


def wanted_files(max_connections: int) -> int:
    """Return how many open files a server with so many connections may need."""
    return max_connections + RESERVE + ACCEPTS + OTHER_FILES


def capacity(max_connections: int, limit: int | None) -> Capacity:
    """Return what can be taken where ``limit`` files may be open; ``None`` is unlimited.

    Where they do not suffice, each part gets less, so that a flood of connections leaves files to
    the workers and to the probes.
    """
    if limit is None or limit >= wanted_files(max_connections):
        return Capacity(connections=max_connections)
    reserve = max(1, min(RESERVE, limit // 8))
    accepts = max(1, min(ACCEPTS, limit // 16))
    others = min(OTHER_FILES, max(_FEWEST_OTHER_FILES, limit // 4))
    left = max(1, limit - reserve - accepts - others)
    return Capacity(connections=min(max_connections, left), reserve=reserve, accepts=accepts)
