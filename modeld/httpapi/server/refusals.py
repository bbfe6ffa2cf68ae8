# SPDX-License-Identifier: GPL-3.0-only
"""Counts and logs the requests that are refused while they are read, before there is a route."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from modeld.events import ConnectionRefused, Event
from modeld.httpapi.server.request_head import RefusedError

LINES_PER_SECOND: Final = 10
"""How many refusals have a line of their own; a flood of them must not fill the disk."""

log = logging.getLogger("modeld.access")


class Refusals:
    """Tells ``notify`` of every refusal, and the access log of as many as can be read."""

    def __init__(self, notify: Callable[[Event], None]) -> None:
        self._notify = notify
        self._lines = 0
        self._unlogged = 0

    def note(self, refused: RefusedError, client: tuple[str, int] | None) -> None:
        """Count one refusal, and log it unless this second has had its lines."""
        self._notify(ConnectionRefused(status=refused.status, reason=refused.reason))
        if self._lines == LINES_PER_SECOND:
            self._unlogged += 1
            return
        if self._lines == 0:
            asyncio.get_running_loop().call_later(1.0, self._begin_anew)
        self._lines += 1
        fields = {
            "status": refused.status,
            "reason": refused.reason,
            "client": client[0] if client else "-",
            "request_id": refused.request_id,
        }
        line = f"refused {refused.status} {refused.reason}: {refused.message}"
        line += f" client={fields['client']} id={refused.request_id}"
        log.info("%s", line, extra=fields)

    def _begin_anew(self) -> None:
        self._lines = 0
        if self._unlogged:
            log.info("refused %d more within a second", self._unlogged)
            self._unlogged = 0
