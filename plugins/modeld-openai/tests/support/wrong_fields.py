# SPDX-License-Identifier: GPL-3.0-only
"""Values that no field of a kind takes, and what a route says of bodies that have them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from openai_calls import VALID

from tests.support.http.fake_service import FakeService, client_of, make_app

NO_TEXT = (5, 1.5, True, ["a"], {"a": "b"})
NO_WHOLE = (1.5, True, "5", [1], {})
NO_NUMBER = (True, "hot", [1.0], {})
NO_BOOL = (0, 1, "true", [])
NO_OBJECT = (5, "a", True, [1])

COMMON: dict[str, tuple[Any, ...]] = {
    "model": (*NO_TEXT, "x" * 513),
    "timeout_s": (*NO_NUMBER, 0, -1, 86_401),
    "fit": (1, "no", [], {}),
    "keep_alive_s": (*NO_NUMBER, -1, 31_536_001, "5m"),
    "temperature": (*NO_NUMBER, -0.1, 5.1),
    "top_p": (*NO_NUMBER, 0, 1.1),
    "top_k": (*NO_WHOLE, -1),
    "min_p": (*NO_NUMBER, -0.1, 1.1),
    "repeat_penalty": (*NO_NUMBER, 0, 11),
    "presence_penalty": (*NO_NUMBER, -2.1, 2.1),
    "frequency_penalty": (*NO_NUMBER, -2.1, 2.1),
    "logit_bias": NO_OBJECT,
    "ignore_eos": NO_BOOL,
    "seed": (*NO_WHOLE, -2, 2**32 - 1),
    "stream": NO_BOOL,
    "stream_options": (*NO_OBJECT, {}, {"include_usage": True}),
    "n": (*NO_WHOLE, 0, 129),
    "stop": (5, True, {}, ["a"] * 17),
    "user": NO_TEXT,
    "regex": (*NO_TEXT, "", "x" * 4097),
    "grammar": (*NO_TEXT, "", " ", "x" * 65_537),
    "lark": (*NO_TEXT, "", " ", "x" * 65_537),
    "choice": (5, "a", {}, [], ["a"] * 1025),
    "cache_prompt": NO_BOOL,
    "cache_salt": (*NO_TEXT, "x" * 257),
}


async def said_of(path: str, bodies: Iterable[dict[str, Any]]) -> list[tuple[int, str]]:
    """Return the status of each body, and the field that is to blame."""
    found = []
    async with client_of(make_app(FakeService())) as client:
        for body in bodies:
            response = await client.post(path, json={**VALID[path], **body})
            error = response.json().get("error", {})
            named = str(error.get("param"))
            assert not error or error["message"].startswith(f"{named}: "), error
            found.append((response.status_code, named))
    return found
