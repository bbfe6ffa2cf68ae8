# SPDX-License-Identifier: GPL-3.0-only
"""Parses several folders from one text with commas between them."""

from __future__ import annotations

import re
from collections.abc import Iterable

_COMMA = re.compile(r"(?<!\\),")


def split(text: str) -> tuple[str, ...]:
    """Return the folders of a text, each once; ``\\,`` is a comma in a folder's name."""
    parts = (part.strip().replace("\\,", ",") for part in _COMMA.split(text))
    return tuple(dict.fromkeys(filter(None, parts)))


def joined(folders: Iterable[str]) -> str:
    """Return the text that :func:`split` makes these folders of."""
    return ",".join(folder.replace(",", "\\,") for folder in folders)
