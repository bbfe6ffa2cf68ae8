# SPDX-License-Identifier: GPL-3.0-only
"""Decides whether a request that has failed on one host is tried on another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from modeld import ModeldError
from modeld.errors import (
    BudgetExceededError,
    DrainingError,
    ModelExceedsBudgetError,
    ModelNotFoundError,
    QueueFullError,
)
from modeld_ray.errors import HostLostError

MOST_SPILLS: Final = 3
"""So many hosts that are full are passed over for one request."""

SPILLS: Final = (
    QueueFullError,
    BudgetExceededError,
    DrainingError,
    ModelExceedsBudgetError,
    ModelNotFoundError,
)
"""What one host says of itself, and another may not."""


class Attempts:
    """The tries of one request.

    After the first chunk there is no other try: a client would get its text twice. A host that was
    lost may have been killed by the request, so there is one more try and no second one; that is
    told to ``on_loss``.
    """

    def __init__(self, hosts: int, on_loss: Callable[[str], None]) -> None:
        self.tried: tuple[str, ...] = ()
        self._spills = min(MOST_SPILLS, hosts - 1)
        self._may_lose = True
        self._on_loss = on_loss
        self._first: ModeldError | None = None

    def note(self, error: ModeldError, host: str, *, begun: bool) -> None:
        """Return if another host is to be tried.

        Raises:
            ModeldError: the request has failed; what the first host has said counts.
        """
        if isinstance(error, HostLostError) and not begun:
            self._on_loss(host)
        first = self._first or error
        if begun:
            raise error
        if isinstance(error, HostLostError) and self._may_lose:
            self._may_lose = False
        elif isinstance(error, SPILLS) and host and self._spills > 0:
            self._spills -= 1
            self._first = first
        elif isinstance(error, SPILLS):
            raise first
        else:
            raise error
        if host:
            self.tried = (*self.tried, host)
