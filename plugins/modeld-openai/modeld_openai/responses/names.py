# SPDX-License-Identifier: GPL-3.0-only
"""Members of requests that ``/v1/responses`` and the service call differently."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_NAMES: Final[Mapping[str, str]] = {
    "json_schema": "text.format.schema",
    "template_kwargs": "chat_template_kwargs",
}
_LOGPROBS: Final = "logprobs"
_TURN: Final = re.compile(r"messages(?:\b.*)?", re.DOTALL)
"""A turn that the service has counted: several items are one, and stored ones come first."""


def named(field: str) -> str:
    """Return what a body has for a member of a request for the service."""
    if _TURN.fullmatch(field):
        return "input"
    head, dot, rest = field.partition(".")
    if head == _LOGPROBS:
        return "include"
    return f"{_NAMES.get(head, head)}{dot}{rest}"
