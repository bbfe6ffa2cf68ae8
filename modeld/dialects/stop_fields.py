# SPDX-License-Identifier: GPL-3.0-only
"""The fields for stop texts, for the bodies of all wires."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BeforeValidator, Field

from modeld.dialects.body import listed, one_or_list

MAX_STOPS: Final = 16
MAX_STOP_CHARACTERS: Final = 256

StopTexts = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=MAX_STOP_CHARACTERS)]],
    Field(max_length=MAX_STOPS, fail_fast=True),
]
"""A list of them."""

StopList = Annotated[
    StopTexts,
    BeforeValidator(listed),
    one_or_list(
        {"type": "string", "minLength": 1, "maxLength": MAX_STOP_CHARACTERS}, maxItems=MAX_STOPS
    ),
]
"""A list of them, or one alone."""
