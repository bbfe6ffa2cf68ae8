# SPDX-License-Identifier: GPL-3.0-only
"""The time limit of a whole request, the same for HTTP and for Python."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from modeld.errors import RequestTimeoutError


@asynccontextmanager
async def within(timeout_s: float | None, *, begun_s: float | None = None) -> AsyncIterator[None]:
    """Cancel what is inside once ``timeout_s`` have passed; ``None`` means never.

    They count from ``begun_s`` on the clock of the event loop, or from now.

    Raises:
        RequestTimeoutError: they have.
    """
    begun_s = asyncio.get_running_loop().time() if begun_s is None else begun_s
    deadline = asyncio.timeout_at(None if timeout_s is None else begun_s + timeout_s)
    try:
        async with deadline:
            yield
    except TimeoutError:
        if not deadline.expired():
            raise  # a timeout of the work's own
        raise RequestTimeoutError(
            f"the request was not done within its timeout_s of {timeout_s:g}", field="timeout_s"
        ) from None
