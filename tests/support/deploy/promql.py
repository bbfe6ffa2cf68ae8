# SPDX-License-Identifier: GPL-3.0-only
"""What a PromQL expression asks for: its metrics, their label matchers, and its groupings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

_SELECTOR = re.compile(r"\b(?P<metric>modeld_\w+|up)\b(?:\{(?P<matchers>[^}]*)\})?")
_MATCHER = re.compile(r'(?P<label>\w+)\s*(?P<operator>=~|!~|!=|=)\s*"(?P<value>[^"]*)"')
_GROUPING = re.compile(r"\b(?:by|on)\s*\((?P<labels>[^)]*)\)")
_VALUES_OF = re.compile(r"label_values\((?P<expression>.*), (?P<label>\w+)\)")


class Matcher(NamedTuple):
    """One comparison of a label in a selector."""

    label: str
    operator: str
    value: str


class Selector(NamedTuple):
    """A metric in an expression, with what its labels must be."""

    metric: str
    matchers: tuple[Matcher, ...]


def selectors(expression: str) -> Iterator[Selector]:
    """Yield all metrics of an expression, in their order."""
    for found in _SELECTOR.finditer(expression):
        matchers = _MATCHER.findall(found["matchers"] or "")
        yield Selector(found["metric"], tuple(Matcher(*each) for each in matchers))


def grouped_by(expression: str) -> set[str]:
    """Return the labels that an expression groups or joins by, or whose values a variable lists."""
    found = {
        label.strip()
        for grouping in _GROUPING.finditer(expression)
        for label in grouping["labels"].split(",")
    }
    return found | {each["label"] for each in _VALUES_OF.finditer(expression)}
