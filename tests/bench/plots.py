# SPDX-License-Identifier: GPL-3.0-only
"""Draws what `throughput` has measured, of both servers, over the number of clients.

    python -m tests.bench.plots FILE.json PICTURE.svg

The file is one that ``--json`` has written.
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

from modeld.simulation.panels import Panel, drawn

PANELS = {
    "rate": "tokens a second, all clients",
    "first token": "time to first token (ms)",
    "gap between tokens": "time between tokens (ms)",
    "server CPU per token": "processor time for a token (ms)",
}
NAMES = {"split": "llama, split", "unified": "llama, unified"}


def picture(rows: list[dict[str, Any]]) -> str:
    """Return the picture of the rows of `throughput`.

    Raises:
        ValueError: there are none.
    """
    curves: dict[str, dict[str, dict[float, float]]] = {}
    for row in rows:
        figure, _, rest = str(row.get("name", "")).partition("/")
        if figure != "throughput":
            continue
        clients, _, what = rest.partition("/")
        for name, numbers in row["measured"].items():
            curve = curves.setdefault(what, {}).setdefault(NAMES.get(name, name), {})
            curve[float(clients)] = statistics.median(numbers)
    if not curves:
        raise ValueError("there are no rows of `throughput`; measure it with --json")
    panels = [Panel(PANELS[what], found) for what, found in curves.items()]
    return drawn("modeld and llama-server", panels, "clients")


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(picture(json.loads(Path(sys.argv[1]).read_text())["rows"]))
