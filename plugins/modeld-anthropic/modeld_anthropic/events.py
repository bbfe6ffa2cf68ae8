# SPDX-License-Identifier: GPL-3.0-only
"""Server-sent events, each with the name that its data has as its type."""

from __future__ import annotations

from typing import Final

from modeld.dialects.json_text import json_line

EVENTS: Final = "text/event-stream"


def event(kind: str, **members: object) -> bytes:
    """Return one event."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json_line({"type": kind, **members}))
