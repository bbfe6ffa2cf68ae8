# SPDX-License-Identifier: GPL-3.0-only
"""What every response for text begins with."""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

from modeld.dialects import Call

FINGERPRINT: Final = f"modeld-{version('modeld')}"
"""What has made a response, as far as that decides about it."""


def head(call: Call, prefix: str, kind: str) -> dict[str, object]:
    """Return the first members of a response; its id is that of the request with a prefix."""
    return {
        "id": f"{prefix}-{call.request_id}",
        "object": kind,
        "created": call.created_unix,
        "model": call.model,
        "system_fingerprint": FINGERPRINT,
    }
