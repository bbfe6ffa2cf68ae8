# SPDX-License-Identifier: GPL-3.0-only
"""Finds the dialect that an address belongs to, also where no route matches."""

from __future__ import annotations

from collections.abc import Iterable

from starlette.types import Scope

from modeld.dialects import Dialect, DialectRoute


class Addresses:
    """The addresses of dialects: all below their prefixes, and those of their routes.

    Below two prefixes the longer one counts: a dialect may have its own inside another's.
    """

    def __init__(self, dialects: Iterable[tuple[Dialect, Iterable[DialectRoute]]]) -> None:
        by_prefix: dict[str, Dialect] = {}
        self._by_path: dict[str, Dialect] = {}
        for dialect, routes in dialects:
            by_prefix |= dict.fromkeys(dialect.prefixes, dialect)
            self._by_path |= {route.path: dialect for route in routes}
        self._by_prefix = sorted(by_prefix.items(), key=lambda row: len(row[0]), reverse=True)

    def dialect_at(self, scope: Scope) -> Dialect | None:
        """Return the dialect of a request's address; ``None`` for the native one."""
        root, path = scope.get("root_path", ""), scope.get("path", "")
        inside = path.removeprefix(root) or "/"
        exact = self._by_path.get(inside)
        if exact is not None:
            return exact
        for prefix, dialect in self._by_prefix:
            if inside == prefix or inside.startswith(f"{prefix}/"):
                return dialect
        return None
