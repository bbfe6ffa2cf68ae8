# SPDX-License-Identifier: GPL-3.0-only
"""Writes a message as one object when all is there."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from pydantic_core import from_json

from modeld.dialects import JSON, Call, WholeEncoder
from modeld.dialects.json_text import json_long_text
from modeld.responses import Done
from modeld_anthropic.headers import own_headers
from modeld_anthropic.messages.head import end_of, message_of, tool_use_of
from modeld_anthropic.messages.thinking import signature_of


class MessageObject(WholeEncoder):
    """Writes one object."""

    media_type = JSON

    def __init__(self, call: Call, *, shows_thinking: bool) -> None:
        self.headers = own_headers(call.request_id)
        self._call = call
        self._shows_thinking = shows_thinking

    def whole(self, generations: Sequence[Done]) -> bytes:
        """Return the object."""
        (done,) = generations
        content = [*self._thinking(done), *_text(done), *self._calls(done)]
        return msgspec.json.encode(message_of(self._call, content, end_of(done), done.usage))

    def _thinking(self, done: Done) -> list[object]:
        if not done.reasoning:
            return []
        shown = self._shows_thinking
        return [
            {
                "type": "thinking",
                "thinking": json_long_text(done.reasoning if shown else ""),
                "signature": signature_of(done.reasoning, shown=shown),
            }
        ]

    def _calls(self, done: Done) -> list[object]:
        return [
            tool_use_of(self._call, number, call.id, call.name, input_of(call.arguments))
            for number, call in enumerate(done.tool_calls or ())
        ]


def input_of(arguments: str) -> dict[str, object]:
    """Return the input of a call. Of one that was cut there is what has come of it."""
    try:
        found = from_json(arguments or "{}", allow_partial="trailing-strings")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _text(done: Done) -> list[object]:
    return [{"type": "text", "text": json_long_text(done.content)}] if done.content else []
