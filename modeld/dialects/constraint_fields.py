# SPDX-License-Identifier: GPL-3.0-only
"""Fields for constraints and cache salts, for wires that have no names of their own for them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from modeld.constraints import (
    MAX_CHOICES,
    MAX_GRAMMAR_BYTES,
    MAX_LARK_BYTES,
    MAX_REGEX_BYTES,
    fault_of_choice,
    fault_of_grammar,
    fault_of_lark,
    fault_of_regex,
)
from modeld.dialects.body import Strict, usable

MAX_SALT_CHARACTERS = 256


class ConstraintFields(Strict):
    """Fields of modeld's own beside those of another wire. One that is null counts as left out."""

    regex: (
        Annotated[str, Field(min_length=1, max_length=MAX_REGEX_BYTES), usable(fault_of_regex)]
        | None
    ) = Field(None, description="regular expression that the whole generation matches")
    grammar: (
        Annotated[str, Field(min_length=1, max_length=MAX_GRAMMAR_BYTES), usable(fault_of_grammar)]
        | None
    ) = Field(None, description="GBNF grammar that the generation conforms to")
    lark: (
        Annotated[str, Field(min_length=1, max_length=MAX_LARK_BYTES), usable(fault_of_lark)] | None
    ) = Field(None, description="Lark grammar that the generation conforms to")
    choice: (
        Annotated[
            list[Annotated[str, Field(min_length=1)]],
            Field(min_length=1, max_length=MAX_CHOICES, fail_fast=True),
            usable(fault_of_choice),
        ]
        | None
    ) = Field(None, description="texts of which the generation is one")
    cache_prompt: bool | None = Field(
        None, description="false neither takes parts of the prompt from the cache nor keeps them"
    )
    cache_salt: Annotated[str, Field(max_length=MAX_SALT_CHARACTERS)] | None = Field(
        None,
        description="only requests with the same text here share cached parts of their prompts",
    )

    def constraint_members(self) -> dict[str, Any]:
        """Return the same as members of a request for the service."""
        return {
            "regex": self.regex,
            "grammar": self.grammar,
            "lark": self.lark,
            "choice": None if self.choice is None else tuple(self.choice),
            "cache_prompt": self.cache_prompt is not False,
            "cache_salt": self.cache_salt or "",
        }
