# SPDX-License-Identifier: GPL-3.0-only
"""Measures how much a JSON body contains from its bytes, before any of it is decoded.

Whoever decodes a body holds up all other requests meanwhile, on whatever thread: the decoder keeps
the interpreter's lock. So what would take longer than a few milliseconds is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

from modeld.errors import InvalidJsonError

MAX_NESTING = 64
"""How deeply the arrays and objects of a body may be nested."""

MAX_CONTAINERS = 16_384
"""How many arrays and objects a body may have."""

MAX_MEMBERS = 12_288
"""How many members all objects of a body may have together."""

MAX_TEXTS = 65_536
"""How many texts a body may have, the names of members among them."""

MAX_VALUES = 160_000
"""How many values a body may have; the longest list that a request takes has 131,072."""

MAX_DIGITS = 128
"""How many digits in a row a number of a long body may have: they cost their square."""

SHORT_BYTES = 32 << 10
"""In a body that is no longer, the digits are not counted."""

_ROUND_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
_NO_BRACKET = bytes(set(range(256)) - set(b"[]{}"))
_NO_SIGN = bytes(set(range(256)) - set(b'[{,:"'))
_DIGIT_TO_ZERO = bytes.maketrans(b"123456789", b"0" * 9)
_TOO_MANY_DIGITS = b"0" * (MAX_DIGITS + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyShape:
    """How many objects and members a body has, and its brackets outside of texts as square ones.

    Where it is not ``is_exact``, the signs within texts are counted too, and there are so few
    brackets that they are left out.
    """

    objects: int
    members: int
    brackets: bytes
    is_exact: bool


def checked_shape(body: bytes) -> BodyShape:
    """Return how much a body says.

    Raises:
        InvalidJsonError: it is more than a request may.
    """
    signs = body.translate(None, _NO_SIGN)
    if _is_surely_small(body, signs):
        objects, members = signs.count(b"{"), signs.count(b":")
        return BodyShape(objects=objects, members=members, brackets=b"", is_exact=False)
    bare = _without_texts(body)
    for sign, most, what in (
        (b",", MAX_VALUES, "values"),
        (b":", MAX_MEMBERS, "members in its objects"),
    ):
        if bare.count(sign) > most:
            raise InvalidJsonError(f"the body has more than {most} {what}")
    if len(body) > SHORT_BYTES and _has_too_many_digits(bare):
        raise InvalidJsonError(f"the body has a number of more than {MAX_DIGITS} digits")
    brackets = bare.translate(_ROUND_TO_SQUARE, _NO_BRACKET)
    if len(brackets) > 2 * MAX_CONTAINERS:
        raise InvalidJsonError(f"the body has more than {MAX_CONTAINERS} arrays and objects")
    return BodyShape(
        objects=bare.count(b"{"), members=bare.count(b":"), brackets=brackets, is_exact=True
    )


def is_too_deep(brackets: bytes) -> bool:
    """Return whether more levels than allowed are left when the innermost are taken in turn."""
    for _ in range(MAX_NESTING):
        if not brackets:
            break
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def _is_surely_small(body: bytes, signs: bytes) -> bool:
    """Return whether no limit can be passed, even if all that is in texts counted too."""
    return (
        signs.count(b"[") + signs.count(b"{") <= MAX_NESTING
        and signs.count(b",") <= MAX_VALUES
        and signs.count(b":") <= MAX_MEMBERS
        and signs.count(b'"') <= 2 * MAX_TEXTS
        and (len(body) <= SHORT_BYTES or not _has_too_many_digits(body))
    )


def _has_too_many_digits(body: bytes) -> bool:
    """Return whether there are more than ``MAX_DIGITS`` digits in a row."""
    # So many have two of the places in them that are looked at first, which few bodies have.
    some = body[:: MAX_DIGITS // 2].translate(_DIGIT_TO_ZERO)
    return b"00" in some and _TOO_MANY_DIGITS in body.translate(_DIGIT_TO_ZERO)


def _without_texts(body: bytes) -> bytes:
    """Return what is outside of texts. A backslash elsewhere is for the decoder to refuse."""
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if body.count(b'"') > 2 * MAX_TEXTS:
        raise InvalidJsonError(f"the body has more than {MAX_TEXTS} texts")
    return b"".join(body.split(b'"')[::2])
