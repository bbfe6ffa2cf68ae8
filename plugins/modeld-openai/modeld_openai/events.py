# SPDX-License-Identifier: GPL-3.0-only
"""Server-sent events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from modeld.dialects.json_text import json_line, json_long_text, json_text, on_one_line

__all__ = ["DONE", "EVENTS", "event", "json_line", "json_long_text", "json_text", "on_one_line"]

DONE: Final = b"data: [DONE]\n\n"
"""What ends a stream that ended well."""

EVENTS: Final = "text/event-stream"


def event(document: object) -> bytes:
    """Return a document as an event."""
    return b"data: " + json_line(document) + b"\n\n"


def named_event(name: str, document: Mapping[str, object]) -> bytes:
    """Return a document as an event that has a name."""
    return b"event: %b\n" % name.encode() + event(document)
