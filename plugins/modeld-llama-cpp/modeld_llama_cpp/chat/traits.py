# SPDX-License-Identifier: GPL-3.0-only
"""What a chat template makes of a chat, as :mod:`.template_traits` has found it out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

SWITCHES: Final = frozenset({"enable_thinking", "thinking"})
"""The variables by which templates turn reasoning on and off."""

EFFORT: Final = "reasoning_effort"
"""The variable by which templates are told how much to think."""


class Traits(msgspec.Struct, frozen=True, kw_only=True):
    """What a template takes, and in which form.

    ``typed`` says of roles whether their contents are lists of parts, ``variables`` are those that
    the template reads, and ``reasoning`` is the member of a message in which it looks for what the
    model has thought. ``keeps_...`` is whether it writes such a thing at all,
    ``tools_in_system`` whether tools are a text in the system turn.
    """

    typed: Mapping[str, bool] = {}
    variables: frozenset[str] = frozenset()
    keeps_system: bool = True
    keeps_tools: bool = False
    tools_in_system: bool = False
    keeps_calls: bool = False
    keeps_results: bool = False
    arguments_as_text: bool = False
    no_content_beside_calls: bool = False
    reasoning: str | None = None

    def is_typed(self, role: str) -> bool:
        """Return whether what a role says is a list of parts. Unknown ones are as users are."""
        return self.typed.get(role, self.typed.get("user", False))
