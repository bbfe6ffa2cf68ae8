# SPDX-License-Identifier: GPL-3.0-only
"""The outcomes of the suites, and how they are reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

_NO_TEST_SELECTED = 5
"""How pytest ends when it ran no test at all."""


class ExitCode(IntEnum):
    """How testctl ends."""

    PASSED = 0
    FAILED = 1
    USAGE = 2
    INTERRUPTED = 130


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one suite ended; ``why`` is empty if it passed."""

    suite: str
    seconds: float
    why: str = ""

    @property
    def passed(self) -> bool:
        """Whether all of its tests ran and passed."""
        return not self.why


def reason(exit_code: int) -> str:
    """Why a command with this exit code has failed; empty if it has not."""
    if exit_code == 0:
        return ""
    if exit_code == _NO_TEST_SELECTED:
        return "no test was selected"
    if exit_code < 0:
        return f"ended by signal {-exit_code}"
    return f"exit code {exit_code}"


def summary(outcomes: Sequence[Outcome]) -> str:
    """A line for each suite, and one that counts them."""
    width = max(len(each.suite) for each in outcomes)
    lines = ["=== summary"]
    for each in outcomes:
        word = "passed" if each.passed else "FAILED"
        line = f"{each.suite:<{width}}  {word}  {each.seconds:7.1f} s"
        lines.append(f"{line}  {each.why}" if each.why else line)
    passed = sum(each.passed for each in outcomes)
    lines.append(f"suites: {passed} passed, {len(outcomes) - passed} failed")
    return "\n".join(lines)


def exit_code(outcomes: Sequence[Outcome]) -> ExitCode:
    """Passed only if every suite has."""
    return ExitCode.PASSED if all(each.passed for each in outcomes) else ExitCode.FAILED
