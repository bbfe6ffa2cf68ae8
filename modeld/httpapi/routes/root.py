# SPDX-License-Identifier: GPL-3.0-only
"""The root of the server: a page for people, or a text for programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, TypeAlias

from starlette.datastructures import Headers
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from modeld.httpapi.exchange.reading.accept import names
from modeld.httpapi.routes.operations import Operation
from modeld.interfaces import PublicRoute

ROOT: Final = "/"

Brought: TypeAlias = BaseRoute | PublicRoute


class PageForBrowsers(Route):
    """A plugin's page at an address that a dialect serves as well.

    A browser says that it accepts HTML and gets the page; a program does not and gets what the
    dialect has.
    """

    def __init__(self, page: Route) -> None:
        super().__init__(page.path, page.endpoint, methods=page.methods, name=page.name)
        self.app = page.app

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return what any route returns to a browser, and no match for a program."""
        match, child = super().matches(scope)  # first, as it is cheap and nearly always fails
        if match is Match.NONE or not names(Headers(scope=scope).get("accept", ""), "text/html"):
            return Match.NONE, {}
        return match, child


def divided(
    brought: Iterable[Brought], operations: Sequence[Operation]
) -> tuple[list[Brought], list[Brought]]:
    """Return the plugins' pages that stand before a dialect at the root, and all other routes."""
    is_shared = any(operation.path == ROOT for operation in operations)
    front: list[Brought] = []
    others: list[Brought] = []
    for each in brought:
        page = each.route if isinstance(each, PublicRoute) else None
        if is_shared and isinstance(page, Route) and page.path == ROOT:
            front.append(PublicRoute(PageForBrowsers(page)))
        else:
            others.append(each)
    return front, others
