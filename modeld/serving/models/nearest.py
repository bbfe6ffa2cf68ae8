# SPDX-License-Identifier: GPL-3.0-only
"""Finds the known name that is most like an unknown one."""

from __future__ import annotations

import difflib
from bisect import bisect_left
from collections.abc import Iterable

from modeld.model_names import folded

LONGEST_COMPARED = 128
"""A longer name than this is compared with no other."""

NEIGHBOURS = 8
"""How many names are compared on each side of where one would stand in an order."""


class NearestNames:
    """Names in two orders, so that how many there are does not matter."""

    def __init__(self, names: Iterable[str]) -> None:
        # Strings alone, because a sort keeps the interpreter's lock, and that of tuples for longer.
        self._by_key = {folded(name): name for name in names}
        self._from_start = sorted(self._by_key)
        self._from_end = sorted(key[::-1] for key in self._by_key)

    def hint(self, name: str) -> str:
        """Return ``; did you mean X?`` for a name that is much like this one, or nothing.

        Only names that begin or end as this one does are compared, and only some of them.
        """
        if len(name) > LONGEST_COMPARED:
            return ""
        wanted = folded(name)
        near = dict.fromkeys(_around(self._from_start, wanted))
        near |= dict.fromkeys(key[::-1] for key in _around(self._from_end, wanted[::-1]))
        close = difflib.get_close_matches(wanted, near, n=1)
        return f"; did you mean {self._by_key[close[0]]!r}?" if close else ""


def _around(order: list[str], key: str) -> list[str]:
    position = bisect_left(order, key)
    return order[max(0, position - NEIGHBOURS) : position + NEIGHBOURS]
