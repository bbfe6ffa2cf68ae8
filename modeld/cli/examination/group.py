# SPDX-License-Identifier: GPL-3.0-only
"""Findings that belong together, and how checks are run so that none of them can stop the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from modeld.plugin_guard import PluginFault, guarded
from modeld.values import Finding, JsonValue

LIMIT_S: Final = 10.0
"""How long one check may take; a folder on a dead network drive would hold it for ever."""

Check: TypeAlias = Callable[[], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Group:
    """What was found out about one part of the machine."""

    title: str
    findings: list[Finding] = field(default_factory=list)


def examine(title: str, *checks: Check, limit_s: float = LIMIT_S) -> Group:
    """Run checks one after the other.

    A check that raises or takes longer than ``limit_s`` becomes an error finding; what it has
    found before counts.
    """
    group = Group(title)
    for check in checks:
        found: list[Finding] = []

        def run(check: Check = check, found: list[Finding] = found) -> None:
            for finding in check():
                found.append(finding)  # noqa: PERF402  (what came before a fault counts)

        try:
            guarded("the check", run, limit_s)
        except PluginFault as fault:
            group.findings.extend(list(found))
            group.findings.append(failed(title, str(fault)))
        else:
            group.findings.extend(found)
    return group


def failed(subject: str, why: str) -> Finding:
    """The finding that a check could not be done."""
    return error(
        subject,
        f"this could not be examined: {why}",
        "if the text does not say what is wrong here, please report it",
    )


def ok(subject: str, message: str, **facts: JsonValue) -> Finding:
    """A finding with nothing to do."""
    return Finding(subject=subject, level="ok", message=message, facts=facts)


def warning(subject: str, message: str, fix: str, **facts: JsonValue) -> Finding:
    """Something works, but not as well or as safely as it could."""
    return Finding(subject=subject, level="warning", message=message, fix=fix, facts=facts)


def error(subject: str, message: str, fix: str, **facts: JsonValue) -> Finding:
    """Something does not work."""
    return Finding(subject=subject, level="error", message=message, fix=fix, facts=facts)
