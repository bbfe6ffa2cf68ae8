# SPDX-License-Identifier: GPL-3.0-only
"""Writes what was measured into the page on benchmarks: a table of all rows, and two pictures.

    python -m tests.bench.page FILE.json…

The files are those that ``--json`` has written, of one run or of several parts of it.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from modeld.simulation.panels import Panel, drawn
from tests.bench.rows import BASE, OURS
from tests.bench.servers import HERE

PAGE: Final = HERE.root / "docs/explanation/benchmarks.md"
BEGIN: Final = "<!-- begin of the rows, written by python -m tests.bench.page -->\n"
END: Final = "<!-- end of the rows -->\n"

PICTURES: Final[Mapping[str, tuple[str, Mapping[str, str]]]] = {
    "bench-throughput.svg": (
        "Throughput of modeld and llama-server",
        {
            "throughput/*/rate": "own prompts (tokens/s)",
            "alike/*/rate": "prompts alike (tokens/s)",
            "chat-mix/*/rate": "chat-like (tokens/s)",
            "json/half/*/rate": "JSON, half keys (char./s)",
        },
    ),
    "bench-latency.svg": (
        "Latency of modeld and llama-server",
        {
            "throughput/*/first token": "first token, own (ms)",
            "throughput/*/gap between tokens": "between tokens, own (ms)",
            "chat-mix/*/first token": "first token, chat (ms)",
            "chat-mix/*/gap between tokens": "between tokens, chat (ms)",
        },
    ),
}
"""By file: the title, and for each panel which rows it draws over the number of clients."""

PEERS: Final = {"split": "llama, split", "unified": "llama, unified"}
DRAWN_ONLY: Final = ("/first token", "/gap between tokens")

Document: TypeAlias = Mapping[str, Any]


def picture(rows: Iterable[Document], title: str, panels: Mapping[str, str]) -> str:
    """Return the picture of those panels that there are rows for.

    Raises:
        ValueError: there are none.
    """
    rows = list(rows)
    found = [
        Panel(says, curves) for name, says in panels.items() if (curves := _curves(rows, name))
    ]
    if not found:
        raise ValueError(f"there are no rows for {title!r}; measure {', '.join(panels)}")
    return drawn(title, found, "clients")


def _curves(rows: Iterable[Document], pattern: str) -> dict[str, dict[float, float]]:
    """Return a curve over the number of clients for each server but the base."""
    before, after = pattern.split("*")
    curves: dict[str, dict[float, float]] = {}
    for row in rows:
        name = str(row.get("name", ""))
        if name.startswith(before) and name.endswith(after):
            clients = float(name.removeprefix(before).removesuffix(after))
            for subject, numbers in row["measured"].items():
                if subject != BASE:
                    curve = curves.setdefault(PEERS.get(subject, subject), {})
                    curve[clients] = statistics.median(numbers)
    return curves


def table(rows: Iterable[Document]) -> Iterator[str]:
    """Yield the lines of the table. What is only drawn, and what is text, is not in it."""
    yield "| figure | modeld | others | ratio, least to most | goal | |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        if "name" in row and not row["name"].endswith(DRAWN_ONLY):
            yield f"| {' | '.join(_cells(row))} |"


def _cells(row: Document) -> list[str]:
    form, measured = row["form"], row["measured"]
    medians = {name: f"{statistics.median(of):{form}}" for name, of in measured.items()}
    others = [name for name in measured if name not in {OURS, BASE}]
    ratios = [row["ratios"][name] for name in others if name in row["ratios"]]
    what = row["what"]
    if row["name"].endswith(("/cpu", "/server CPU per token")):
        what = f"… {what}"
    return [
        what,
        f"{medians[OURS]} {row['unit']}",
        "; ".join(f"{name} {medians[name]}" for name in others),
        "; ".join(f"{of['median']:.2f} ({of['least']:.2f} to {of['most']:.2f})" for of in ratios),
        row["goal"],
        {True: "met", False: "missed", None: ""}[row["met"]],
    ]


def section(documents: Sequence[Document]) -> str:
    """Return what stands between the two marks of the page."""
    lines = [BEGIN]
    for number, one in enumerate(documents):
        lines += [""] if number else []
        lines += [f"`{one['command']}` on {one['date']}: {one['machine']}, {one['load']}.", ""]
        lines += table(one["rows"])
    return "\n".join([*lines, "", END])


def main() -> None:
    documents = [json.loads(Path(name).read_text()) for name in sys.argv[1:]]
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(before + section(documents) + after)
    rows = [row for one in documents for row in one["rows"]]
    for name, (title, panels) in PICTURES.items():
        (HERE.root / "docs/assets" / name).write_text(picture(rows, title, panels))


if __name__ == "__main__":
    main()
