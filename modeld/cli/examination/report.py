# SPDX-License-Identifier: GPL-3.0-only
"""All findings, for people and for programs."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

import click
import msgspec

from modeld.cli.examination.group import Group
from modeld.cli.table import count_text
from modeld.cli.visible import visible
from modeld.values import Finding

WIDEST: Final = 100

_COLOURS: Final = {"ok": "green", "warning": "yellow", "error": "red"}
_INDENT: Final = " " * 11


def counts(groups: Sequence[Group]) -> Counter[str]:
    """How many findings of each level there are."""
    return Counter(finding.level for group in groups for finding in group.findings)


def as_json(groups: Sequence[Group]) -> str:
    """One document: all findings with the group that they belong to, and how many are bad.

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


def as_text(groups: Sequence[Group]) -> str:
    """Group by group, each finding with its level and its fix, and the sum at the end."""
    width = min(WIDEST, shutil.get_terminal_size((WIDEST, 24)).columns)
    lines: list[str] = []
    for group in groups:
        if group.findings:
            lines += [click.style(group.title, bold=True)]
            for finding in group.findings:
                lines += _finding(finding, width)
            lines += [""]
    return "\n".join([*lines, _sum(counts(groups))])


def _finding(finding: Finding, width: int) -> Iterator[str]:
    text = f"{visible(finding.subject)}: {visible(finding.message)}"
    first, *rest = _wrapped(text, width)
    level = click.style(finding.level, fg=_COLOURS[finding.level])
    yield f"  {level}{' ' * (9 - len(finding.level))}{first}"
    yield from (f"{_INDENT}{line}" for line in rest)
    if finding.fix is not None:
        first, *rest = _wrapped(f"fix: {visible(finding.fix)}", width)
        yield f"{_INDENT}{click.style('fix:', bold=True)}{first.removeprefix('fix:')}"
        yield from (f"{_INDENT}{line}" for line in rest)


def _wrapped(text: str, width: int) -> list[str]:
    """Lines without a broken word: paths and commands stay fit to be copied."""
    return textwrap.wrap(
        text,
        max(30, width - len(_INDENT)),
        break_long_words=False,
        break_on_hyphens=False,
    ) or [""]


def _sum(found: Counter[str]) -> str:
    return (
        f"{count_text(found['error'], 'error')}, {count_text(found['warning'], 'warning')},"
        f" {found['ok']} ok"
    )
