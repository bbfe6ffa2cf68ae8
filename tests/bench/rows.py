# SPDX-License-Identifier: GPL-3.0-only
"""What a benchmark has measured, as numbers: printed, written as JSON, compared in pairs.

A new figure is a function from a :class:`~tests.bench.contest.Contest` to its rows, and a line in
``figures`` of ``__main__``. It measures all subjects in turn, once for each number that
``contest.turns()`` yields (``contest.in_turn`` does that for servers), and takes ``contest.sized``
for what the short form does less of. A row has a number for each subject and turn; the first
subject is ``modeld``, which is this checkout, and ``base`` is the one it is compared with. What
cannot be compared in pairs may be a plain text instead.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

OURS: Final = "modeld"
BASE: Final = "base"

Measured: TypeAlias = Mapping[str, Sequence[float]]
"""By subject, a number for each turn."""


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """modeld's number over another subject's: the median of all turns, and between what."""

    median: float
    least: float
    most: float

    def __str__(self) -> str:
        return f"ratio {self.median:.2f} ({self.least:.2f} to {self.most:.2f})"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure. ``name`` stays the same from run to run; ``form`` is a format of numbers."""

    name: str
    what: str
    unit: str
    measured: Measured
    form: str = ".2f"
    goal: str = ""

    def ratios(self) -> dict[str, Ratio]:
        """Return modeld's ratio to each other subject that was measured as often."""
        ours = self.measured[OURS]
        return {
            name: _ratio(ours, theirs)
            for name, theirs in self.measured.items()
            if name != OURS and len(theirs) == len(ours) and all(theirs)
        }

    def __str__(self) -> str:
        said = f"{self.what}: {compared(self.measured, self.form, self.unit)}"
        return f"{said} (goal {self.goal})" if self.goal else said

    def document(self) -> dict[str, object]:
        """Return the row for a JSON file."""
        ratios = {name: vars(each) for name, each in self.ratios().items()}
        measured = {name: list(numbers) for name, numbers in self.measured.items()}
        return {
            "name": self.name,
            "what": self.what,
            "unit": self.unit,
            "goal": self.goal,
            "measured": measured,
            "ratios": ratios,
        }


Rows: TypeAlias = Sequence[Row | str]


def compared(measured: Measured, form: str, unit: str) -> str:
    """Return all medians in words, and modeld's ratio to each other subject with its spread."""
    row = Row(name="", what="", unit=unit, measured=measured)
    ratios = row.ratios()
    parts = [f"{OURS} {statistics.median(measured[OURS]):{form}} {unit}"]
    for name, numbers in measured.items():
        if name != OURS:
            ratio = f", {ratios[name]}" if name in ratios else ""
            parts.append(f"{name} {statistics.median(numbers):{form}}{ratio}")
    return "; ".join(parts)


def documents(rows: Iterable[Row | str]) -> list[dict[str, object]]:
    """Return all rows for a JSON file; those that are text have nothing but that."""
    return [{"text": row} if isinstance(row, str) else row.document() for row in rows]


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    return Ratio(median=statistics.median(ratios), least=min(ratios), most=max(ratios))
