# SPDX-License-Identifier: GPL-3.0-only
"""What is sent as one text, as the ids of its tokens, or as a list of such.

The tags of alternatives begin with ``~``, so that errors name a field without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag

from modeld.dialects.token_fields import TokenIds

SomeText = Annotated[str, Field(min_length=1)]
SomeTokens = Annotated[TokenIds, Field(min_length=1)]


def _kind_of_one(given: Any) -> str:
    return "~tokens" if isinstance(given, list) else "~text"


TextOrTokens = Annotated[
    Annotated[SomeText, Tag("~text")] | Annotated[SomeTokens, Tag("~tokens")],
    Discriminator(_kind_of_one),
]


def kind_of_several(given: Any) -> str:
    """Return the tag of what is a text, a list of token ids, or a list of several such."""
    if not isinstance(given, list):
        return "~text"
    return "~tokens" if given and isinstance(given[0], int) else "~several"


def several(given: str | Sequence[int | str | list[int]]) -> list[str | list[int]]:
    """Return a list of texts and of lists of token ids."""
    if isinstance(given, str):
        return [given]
    tokens = [part for part in given if isinstance(part, int)]
    return [tokens] if tokens else [part for part in given if not isinstance(part, int)]
