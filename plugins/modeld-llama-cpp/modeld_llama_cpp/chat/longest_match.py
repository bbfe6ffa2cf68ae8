# SPDX-License-Identifier: GPL-3.0-only
"""Finds the longest of many texts at a position."""

from __future__ import annotations

import re
from collections.abc import Iterable


def longest_of(texts: Iterable[str]) -> re.Pattern[str]:
    """Return what matches the longest of some texts at a position.

    Texts that begin alike share that in the pattern, so that no position takes a look at each of
    thousands of them.
    """
    wanted = {text for text in texts if text}
    return re.compile(_pattern(wanted) if wanted else "(?!)")


def _pattern(texts: set[str]) -> str:
    """Return a pattern for texts of which one may be empty."""
    ways = [re.escape(head) + _pattern(tails) for head, tails in _by_head(texts)]
    if not ways:
        return ""
    either = f"(?:{'|'.join(ways)})" if len(ways) > 1 or "" in texts else ways[0]
    return f"{either}?" if "" in texts else either


def _by_head(texts: set[str]) -> list[tuple[str, set[str]]]:
    """Return texts by what those of them that begin alike have in common."""
    groups: dict[str, set[str]] = {}
    for text in texts:
        if text:
            groups.setdefault(text[0], set()).add(text)
    heads = {_common(group): group for group in groups.values()}
    return sorted((head, {text[len(head) :] for text in group}) for head, group in heads.items())


def _common(texts: set[str]) -> str:
    first, last = min(texts), max(texts)
    count = next(
        (at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other),
        min(len(first), len(last)),
    )
    return first[:count]
