# SPDX-License-Identifier: GPL-3.0-only
"""The longest time that a request gives itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from modeld.errors import RequestTimeoutError


@asynccontextmanager
async def within(timeout_s: float | None) -> AsyncIterator[None]:
    """Cancel what is inside once ``timeout_s`` have passed; ``None`` means never.

    Raises:
        RequestTimeoutError: they have.
    """
    deadline = asyncio.timeout(timeout_s)
    try:
        async with deadline:
            yield
    except TimeoutError:
        if not deadline.expired():
            raise
        raise RequestTimeoutError(
            f"the request was not done within its timeout_s of {timeout_s:g}", field="timeout_s"
        ) from None
