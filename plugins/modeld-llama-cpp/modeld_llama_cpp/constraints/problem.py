# SPDX-License-Identifier: GPL-3.0-only
"""What is wrong with a constraint."""

from __future__ import annotations


class ConstraintError(Exception):
    """A schema, grammar, pattern or list cannot be used; the message says why and where."""


def position(source: str, index: int) -> str:
    """Return the position of a character, as ``line 1, column 1``."""
    before = source[:index]
    return f"line {before.count(chr(10)) + 1}, column {index - before.rfind(chr(10))}"
