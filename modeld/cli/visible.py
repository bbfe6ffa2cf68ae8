# SPDX-License-Identifier: GPL-3.0-only
"""Makes text safe to show: no character that could move a cursor, end a line or turn it around."""

from __future__ import annotations


def visible(text: str, keep: str = "") -> str:
    r"""``text`` with every character escaped that is not printable and not in ``keep``.

    That covers control characters such as ESC, line separators such as U+2028, marks that change
    the direction of writing, and lone surrogates. Each becomes ``\n``, ``\x1b`` or ``\u2028``.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() or character in keep else _escaped(character)
        for character in text
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
