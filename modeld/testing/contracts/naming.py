# SPDX-License-Identifier: GPL-3.0-only
"""Checks of the names that plugins give to what they bring."""

from __future__ import annotations

from modeld.testing.contract import assert_that


def check_name(whose: str, thing: object) -> None:
    """Fail where something that a plugin brings has no name that can be written."""
    name = getattr(thing, "name", None)
    assert_that(
        isinstance(name, str) and name and name == name.strip() and name.isprintable(),
        f"{whose} has the name {name!r}; give it the attribute `name`, a short printable text",
    )
