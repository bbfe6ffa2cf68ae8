# SPDX-License-Identifier: GPL-3.0-only
"""Values that no field of a kind takes, and what a route says of bodies that have them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ollama_calls import VALID, M

from tests.support.http.fake_service import FakeService, client_of, make_app

NO_TEXT = (5, 1.5, True, ["a"], {"a": "b"})
NO_WHOLE = (1.5, True, "5", [1], {})
NO_NUMBER = (True, "hot", [1.0], {})
NO_BOOL = (0, 1, "true", [])
NO_OBJECT = (5, "a", True, [1])

COMMON: dict[str, tuple[Any, ...]] = {
    "model": (*NO_TEXT, "x" * 513),
    "options": NO_OBJECT,
    "fit": (1, "no", [], {}),
    "keep_alive": (True, [], {}, "", "soon", "5x", "1h-3m", "5 m", 31_536_001, "1" * 30 + "h"),
    "timeout_s": (*NO_NUMBER, 0, -1, 86_401),
}
TEXT: dict[str, tuple[Any, ...]] = COMMON | {
    "stream": NO_BOOL,
    "format": (5, True, [], "xml"),
    "think": (0, 1, "much", "", [], {}),
    "logprobs": NO_BOOL,
    "top_logprobs": (*NO_WHOLE, -1, 21, 5),
    "truncate": (True, 0, "no"),
    "shift": (True, 0, "no"),
}


async def said_of(path: str, bodies: Iterable[dict[str, Any]]) -> list[tuple[int, str]]:
    """Return the status of each body, and the field that is to blame."""
    found = []
    async with client_of(make_app(FakeService(models=[M]))) as client:
        for body in bodies:
            response = await client.post(path, json={"model": "m", **VALID[path], **body})
            told = response.json()["error"] if response.status_code != 200 else ""
            found.append((response.status_code, told.partition(": ")[0]))
    return found
