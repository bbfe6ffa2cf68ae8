# SPDX-License-Identifier: GPL-3.0-only
"""Groups findings, and runs each check so that none can stop the others."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import msgspec

from modeld.plugins.guard import PluginFault, guarded
from modeld.values import Finding, JsonValue

LIMIT_S: Final = 10.0
"""How long one check may take; a folder on a dead network drive would hold it for ever."""

Check: TypeAlias = Callable[[], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Group:
    """What was found out about one part of the machine."""

    title: str
    findings: list[Finding] = field(default_factory=list)


def run_checks(title: str, *checks: Check, limit_s: float = LIMIT_S) -> Group:
    """Run checks one after the other and return what they have found.

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
    """Return the finding that a check could not be done."""
    return error(
        subject,
        f"this could not be checked: {why}",
        "if the text does not say what is wrong here, please report it",
    )


def ok(subject: str, message: str, **facts: JsonValue) -> Finding:
    """Return a finding with nothing to do."""
    return Finding(subject=subject, level="ok", message=message, facts=facts)


def warning(subject: str, message: str, fix: str, **facts: JsonValue) -> Finding:
    """Return a finding of what works, but not as well or as safely as it could."""
    return Finding(subject=subject, level="warning", message=message, fix=fix, facts=facts)


def error(subject: str, message: str, fix: str, **facts: JsonValue) -> Finding:
    """Return a finding of what does not work."""
    return Finding(subject=subject, level="error", message=message, fix=fix, facts=facts)


def counts(groups: Sequence[Group]) -> Counter[str]:
    """Return how many findings of each level there are."""
    return Counter(finding.level for group in groups for finding in group.findings)


def as_json(groups: Sequence[Group]) -> str:
    """Return one document: all findings with their group's title, and the counts by level.

    It is pure ASCII, whatever bytes a file's name is made of.
    """
    found = counts(groups)
    findings = [
        {"group": group.title, **msgspec.to_builtins(finding)}
        for group in groups
        for finding in group.findings
    ]
    document = {"findings": findings, "errors": found["error"], "warnings": found["warning"]}
    return json.dumps(document, indent=2)
