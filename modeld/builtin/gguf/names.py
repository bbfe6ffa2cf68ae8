# SPDX-License-Identifier: GPL-3.0-only
"""File names as they can be shown, and the numbers in the names of split models."""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

_UNSEEN_CATEGORIES = frozenset({"Cc", "Cf", "Zl", "Zp"})

# Unicode's Default_Ignorable_Code_Point, of which some are letters and marks by their category,
# and the one pattern of Braille without a dot.
_IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf", re.IGNORECASE | re.DOTALL)


class ShardName(NamedTuple):
    """What the name of one file of a split model says: number ``number`` of ``shards``."""

    stem: str
    number: int
    shards: int


def shard_name(relative: str) -> ShardName | None:
    """Return the parts of ``STEM-00002-of-00003.gguf`` in any case; ``None`` for other names."""
    match = _SHARD.fullmatch(relative)
    if match is None:
        return None
    name = ShardName(match[1], int(match[2]), int(match[3]))
    return name if 1 <= name.number <= name.shards else None


def displayed(text: str) -> str:
    """Return ``text`` with everything escaped that is not UTF-8 or would not be seen in print."""
    if text.isprintable() and (text.isascii() or not _IGNORABLE.search(text)):
        return text
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(
        character.encode("unicode_escape").decode() if _is_unseen(character) else character
        for character in text
    )


def _is_unseen(character: str) -> bool:
    category = unicodedata.category(character)
    return category in _UNSEEN_CATEGORIES or _IGNORABLE.match(character) is not None
