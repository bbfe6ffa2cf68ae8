# SPDX-License-Identifier: GPL-3.0-only
"""The limits of llguidance's work, and what it finds wrong with a grammar."""

from __future__ import annotations

import re

import llguidance

from modeld_llama_cpp.constraints.problem import ConstraintError

_PLACED = re.compile(r"(?:at )?(\d+)\((\d+)\): (.*)")


def limits() -> llguidance.LLParserLimits:
    """Return what llguidance may spend on a grammar; a matcher is granted the same."""
    return llguidance.LLParserLimits(
        initial_lexer_fuel=1_000_000,
        step_lexer_fuel=200_000,
        step_max_items=100_000,
        max_lexer_states=50_000,
        max_grammar_size=200_000,
        verbose_errors=False,
    )


def problem_of(grammar: str) -> str | None:
    """Return what llguidance finds wrong with a grammar."""
    failed, messages = llguidance.LLMatcher.validate_grammar_with_warnings(grammar, limits=limits())
    return messages[0] if failed else None


def checked(grammar: str) -> str:
    """Return a grammar with which llguidance finds nothing wrong.

    Raises:
        ConstraintError: it does.
    """
    problem = problem_of(grammar)
    if problem is not None:
        raise ConstraintError(first_line(problem))
    return grammar


def first_line(problem: str) -> str:
    """Return what is wrong, with its position at the end."""
    first = problem.strip().split("\n", 1)[0][:300]
    found = _PLACED.fullmatch(first)
    return f"{found[3]}, line {found[1]}, column {found[2]}" if found else first
