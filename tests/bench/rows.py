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

LEAST_OF_BASE: Final = 0.97
"""A row that is less of its base than this has got worse."""

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
class Goal:
    """What is to be reached: by modeld's ratio to others, or by its median alone.

    ``against`` names those that count; of several the one counts that does best.
    """

    least: float | None = None
    most: float | None = None
    against: tuple[str, ...] = ()

    def __str__(self) -> str:
        number, word = (self.least, "least") if self.most is None else (self.most, "most")
        return f"at {word} {number:g}{' times' if self.against else ''}"

    def is_met_by(self, number: float) -> bool:
        """Return whether a ratio, or a median, is as it should be."""
        if self.most is not None:
            return number <= self.most
        return self.least is None or number >= self.least


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure. ``name`` stays the same from run to run; ``form`` is a format of numbers.

    Less of it is better, unless ``more`` is.
    """

    name: str
    what: str
    unit: str
    measured: Measured
    form: str = ".2f"
    goal: Goal | None = None
    more: bool = False

    def ratios(self) -> dict[str, Ratio]:
        """Return modeld's ratio to each other subject that was measured as often."""
        ours = self.measured[OURS]
        return {
            name: _ratio(ours, theirs)
            for name, theirs in self.measured.items()
            if name != OURS and len(theirs) == len(ours) and all(theirs)
        }

    def reached(self) -> float | None:
        """Return the number that is held against the goal, if there is one to be had."""
        if self.goal is None:
            return None
        if not self.goal.against:
            return statistics.median(self.measured[OURS])
        ratios = self.ratios()
        counting = [ratios[each].median for each in self.goal.against if each in ratios]
        if not counting:
            return None
        return min(counting) if self.more else max(counting)

    def of_base(self) -> float | None:
        """Return how many times as good the row is as its base's: below 1 it has got worse."""
        ratio = self.ratios().get(BASE)
        if ratio is None:
            return None
        return ratio.median if self.more else 1 / ratio.median

    def __str__(self) -> str:
        said = f"{self.what}: {compared(self.measured, self.form, self.unit)}"
        if self.goal is None:
            return said
        reached = self.reached()
        missed = reached is not None and not self.goal.is_met_by(reached)
        return f"{said} (goal {self.goal}{', missed' if missed else ''})"

    def document(self) -> dict[str, object]:
        """Return the row for a JSON file."""
        ratios = {name: vars(each) for name, each in self.ratios().items()}
        measured = {name: list(numbers) for name, numbers in self.measured.items()}
        reached = self.reached()
        return {
            "name": self.name,
            "what": self.what.strip(),
            "unit": self.unit,
            "form": self.form,
            "goal": str(self.goal or ""),
            "reached": reached,
            "met": None if self.goal is None or reached is None else self.goal.is_met_by(reached),
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


def against_base(rows: Iterable[Row | str]) -> list[str]:
    """Return what to say of all rows that the base has too, those that have got worse by name."""
    found = [(row, row.of_base()) for row in rows if isinstance(row, Row)]
    paired = [(row, times) for row, times in found if times is not None]
    worse = [(row, times) for row, times in paired if times < LEAST_OF_BASE]
    said = f"{len(paired)} rows in pairs with the base, {len(worse)} below {LEAST_OF_BASE} of it"
    return [said, *(f"  {row.name}: {times:.2f}" for row, times in worse)]


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    return Ratio(median=statistics.median(ratios), least=min(ratios), most=max(ratios))
