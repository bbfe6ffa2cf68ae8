# SPDX-License-Identifier: GPL-3.0-only
"""Refuses what a Lark grammar of a request must not have, though llguidance takes it."""

from __future__ import annotations

import re

from modeld_llama_cpp.constraints.problem import ConstraintError, position

MAX_REPEATS = 10_000

_PIECES = re.compile(
    r"""
      (?P<comment>(?:\#|//)[^\n]*)
    | (?P<text>"(?:\\.|[^"\\\n])*"i?)
    | (?P<regex>/(?:\\.|[^/\\\n])+/[imslux]*)
    | (?P<statement>%[a-zA-Z]+)
    | (?P<grammar>@[\w\-]+)
    | (?P<token><[^<>\s]+>)
    | (?P<counts>\{\s*\d*\s*(?:,\s*\d*\s*)?\}|~\s*\d+(?:\s*\.\.\s*\d+)?)
    | (?P<attributes>\[[a-z_]+(?:\s*=\s*[^\]\n]*)?(?:,[^\]\n]*)?\]\s*:)
    """,
    re.VERBOSE,
)

MAX_DEPTH = 1_000
"""How deep all rules together may be: llguidance goes through them by recursion."""

_TAKEN = {"%ignore", "%import", "%regex"}


def check_lark(source: str) -> None:
    """Check that a Lark grammar has nothing that would change how a generation is made.

    Raises:
        ConstraintError: it has; the message says what and where.
    """
    _check_depth(source)
    for found in _PIECES.finditer(source):
        problem = _problem(found.lastgroup or "", found[0])
        if problem:
            raise ConstraintError(f"{problem}, {position(source, found.start())}")


def _problem(kind: str, text: str) -> str | None:
    if kind == "statement" and text not in _TAKEN:
        return f"`{text}` is not supported"
    if kind == "grammar":
        return f"there is no other grammar for `{text}`"
    if kind == "token":
        return "tokens (`<…>`) are not supported; write their text"
    if kind == "attributes":
        return _problem_of_attributes(text)
    if kind == "counts":
        most = max((int(each[:9]) for each in re.findall(r"\d+", text)), default=0)
        return (
            f"more than {MAX_REPEATS} repetitions are not allowed" if most > MAX_REPEATS else None
        )
    return None


def _problem_of_attributes(text: str) -> str | None:
    for name in re.findall(r"[\[,]\s*([a-z_]+)", text):
        if name not in ("lazy", "suffix", "capture"):
            return f"`{name}` is not supported"
    return None


def _check_depth(source: str) -> None:
    """Check that no way from rule to rule leads too deep."""
    plain = _PIECES.sub(lambda found: "" if found.lastgroup in _TEXTS else found[0], source)
    total = deepest = depth = 0
    for sign in plain:
        if sign == ":":
            total += 1 + deepest
            deepest = depth = 0
        elif sign in "([":
            depth += 1
            deepest = max(deepest, depth)
        elif sign in ")]":
            depth -= 1
    if total + deepest > MAX_DEPTH:
        raise ConstraintError(f"all rules together are more than {MAX_DEPTH} deep")


_TEXTS = {"comment", "text", "regex"}
