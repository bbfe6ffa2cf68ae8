# SPDX-License-Identifier: GPL-3.0-only
"""Routes for clients whose base URL has no ``/v1``."""

from __future__ import annotations

from dataclasses import replace

from modeld.dialects import DialectRoute

_VERSION = "/v1"


def unversioned(route: DialectRoute) -> DialectRoute:
    """Return the same route without ``/v1`` in its path."""
    return replace(route, path=route.path.removeprefix(_VERSION), name=f"{route.name}_short")
