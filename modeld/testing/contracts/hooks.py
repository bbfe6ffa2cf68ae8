# SPDX-License-Identifier: GPL-3.0-only
"""Calls one plugin's hooks without an application."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from modeld.testing.contract import assert_that


def things(plugin: object, hook: str, **arguments: object) -> list[Any]:
    """Return what a plugin returns to a hook, with as many arguments as it takes.

    Raises:
        AssertionError: it does not have the hook, or returns no list.
    """
    implementation = plugin() if isinstance(plugin, type) else plugin
    call = getattr(implementation, hook, None)
    assert_that(callable(call), f"the plugin has no hook {hook}; mark it with @modeld.hookimpl")
    assert callable(call)
    taken = inspect.signature(call).parameters
    returned: Any = call(**{name: arguments[name] for name in taken})
    assert_that(
        isinstance(returned, Iterable) and not isinstance(returned, str),
        f"{hook} returned {returned!r:.200}; return a list",
    )
    return [*returned]
