# SPDX-License-Identifier: GPL-3.0-only
"""Whether the model thinks first, and how what it thought is sent and comes back."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Final, Literal

from pydantic import Field, Tag

from modeld.dialects.body import Strict
from modeld.messages import Reasoning
from modeld_anthropic.messages.blocks import one_of

Display = Literal["summarized", "omitted"]
Effort = Literal["low", "medium", "high", "xhigh", "max"]

SIGNATURE: Final = "modeld"
"""The signature of what was thought and is shown. Nothing is proved by it, and none is checked."""

_OMITTED: Final = "modeld:"
"""What begins the signature of what was thought and is not shown, which has it in base64."""


class ThinkingOn(Strict):
    """That the model thinks first."""

    type: Literal["enabled"]
    budget_tokens: int = Field(ge=1, le=2**31, description="the most that it may take")
    display: Display | None = None


class ThinkingAdaptive(Strict):
    """That the model thinks as its chat template has it."""

    type: Literal["adaptive"]
    display: Display | None = None


class ThinkingOff(Strict):
    """That the model does not think first."""

    type: Literal["disabled"]


Thinking = Annotated[
    Annotated[ThinkingOn, Tag("~enabled")]
    | Annotated[ThinkingAdaptive, Tag("~adaptive")]
    | Annotated[ThinkingOff, Tag("~disabled")],
    one_of(enabled="~enabled", adaptive="~adaptive", disabled="~disabled"),
]


def reasoning_of(
    thinking: ThinkingOn | ThinkingAdaptive | ThinkingOff | None, effort: Effort | None
) -> Reasoning:
    """Return how much the model is to think; it does not where nothing is said of it.

    The effort is high by the API's own default: that word says no more than none does.
    """
    effort = None if effort == "high" else effort
    match thinking:
        case ThinkingOn(budget_tokens=budget_tokens):
            return Reasoning(enabled=True, effort=effort, budget_tokens=budget_tokens)
        case ThinkingAdaptive():
            return Reasoning(effort=effort)
        case None if effort is not None:
            return Reasoning(effort=effort)
        case _:
            return Reasoning(enabled=False, effort=effort)


def signature_of(thinking: str, *, shown: bool) -> str:
    """Return what goes with what was thought, so that it can come back."""
    if shown:
        return SIGNATURE
    return _OMITTED + base64.b64encode(thinking.encode()).decode()


def thinking_of(shown: str, signature: str) -> str:
    """Return what was thought, also where only the signature has it."""
    if shown or not signature.startswith(_OMITTED):
        return shown
    try:
        return base64.b64decode(signature.removeprefix(_OMITTED), validate=True).decode()
    except (binascii.Error, ValueError):  # of another server, or cut
        return ""
