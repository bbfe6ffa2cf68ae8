# SPDX-License-Identifier: GPL-3.0-only
"""Values that no field of a kind takes, and what a route says of bodies that have them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from anthropic_calls import VALID

from tests.support.http.fake_service import FakeService, client_of, make_app

NO_TEXT = (5, 1.5, True, ["a"], {"a": "b"})
NO_WHOLE = (1.5, True, "5", [1], {})
NO_NUMBER = (True, "hot", [1.0], {})
NO_BOOL = (0, 1, "true", [])
NO_OBJECT = (5, "a", True, [1])
NO_LIST = (5, "a", True, {})


async def said_of(path: str, bodies: Iterable[dict[str, Any]]) -> list[tuple[int, str]]:
    """Return the status of each body, and the field with which the message begins."""
    found = []
    async with client_of(make_app(FakeService())) as client:
        for body in bodies:
            response = await client.post(path, json={**VALID[path], **body})
            message = response.json().get("error", {}).get("message", "")
            found.append((response.status_code, message.partition(": ")[0]))
    return found
