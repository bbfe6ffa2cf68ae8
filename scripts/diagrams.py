# SPDX-License-Identifier: GPL-3.0-only
"""Draws the two pictures of docs/explanation: `.venv/bin/python` with this file.

``parts.svg`` shows the parts and who uses whom, ``request.svg`` the stages of a request and for how
long it holds what. The stages are the headings of the page about them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"
STORY: Final = "explanation/life-of-a-request.md"

_STYLE: Final = """\
  <style>
    text { font: 13px system-ui, sans-serif; fill: #1c2b2a; }
    .title { font-weight: 600; }
    .small { font-size: 11px; fill: #4a5a58; }
    .paper { fill: #fbfdfc; stroke: #cfd8d6; }
    .outside { fill: #eceff1; stroke: #78909c; }
    .core { fill: #d8efec; stroke: #00695c; }
    .plugin { fill: #fff1d6; stroke: #b26a00; }
    .process { fill: none; stroke: #78909c; stroke-dasharray: 5 4; }
    .arrow { fill: none; stroke: #37474f; stroke-width: 1.5; marker-end: url(#end); }
  </style>
  <marker id="end" viewBox="0 0 8 8" refX="7" refY="4" orient="auto"
    markerWidth="7" markerHeight="7">
    <path d="M0 0 8 4 0 8z" fill="#37474f"/>
  </marker>
"""
_LINE: Final = 16
"""From one line of text to the next."""


class Picture:
    """An SVG on paper of its own, so that it can be read on a dark page too."""

    def __init__(self, width: int, height: int, label: str) -> None:
        self._size = width, height
        self._label = label
        self._elements: list[str] = []

    def box(self, x: int, y: int, width: int, height: int, kind: str, *lines: str) -> None:
        """Draw a box; the first line is its title, the others are small."""
        self._elements.append(
            f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="6"/>'
        )
        for number, line in enumerate(lines):
            self.text(x + 10, y + 20 + _LINE * number, line, "small" if number else "title")

    def text(self, x: int, y: int, text: str, kind: str) -> None:
        """Write one line that begins at a point."""
        self._elements.append(f'<text class="{kind}" x="{x}" y="{y}">{escape(text)}</text>')

    def arrow(self, x: int, y: int, to_x: int, to_y: int, *label: str) -> None:
        """Draw a straight arrow, with what it stands for beside it."""
        self._elements.append(f'<path class="arrow" d="M{x} {y}L{to_x} {to_y}"/>')
        for number, line in enumerate(label):
            self.text(max(x, to_x) + 8, (y + to_y) // 2 + 4 + _LINE * number, line, "small")

    def svg(self) -> str:
        """Return the whole file."""
        width, height = self._size
        inside = "".join(f"  {element}\n" for element in self._elements)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"'
            f' aria-label="{escape(self._label)}">\n{_STYLE}'
            f'  <rect class="paper" x="1" y="1" width="{width - 2}" height="{height - 2}"/>\n'
            f"{inside}</svg>\n"
        )


BOXES: Final = (
    (30, 24, 150, 44, "outside", "a terminal", "modeld run, doctor …"),
    (210, 24, 150, 44, "outside", "HTTP clients", "curl, the dashboard"),
    (390, 24, 190, 44, "outside", "your ASGI application", "with modeld at a prefix"),
    (15, 92, 830, 350, "process"),
    (30, 120, 150, 60, "core", "modeld/cli/", "the commands,", "modeld serve too"),
    (210, 120, 370, 60, "core", "modeld/httpapi/", "server: uvicorn, limits; access: keys, origins",
     "exchange: body, stream, errors; routes; openapi"),
    (30, 225, 550, 84, "core", "modeld/serving/", "models: which models there are",
     "scheduling: decides, never waits", "pool, loader: do it, and tell the scheduler"),
    (30, 353, 550, 74, "core", "modeld/hosting/", "process: starts workers, and some ahead",
     "watchdog: ends those that hang"),
    (15, 485, 580, 90, "process"),
    (30, 511, 550, 52, "plugin", "the backend's engine",
     "plugins/modeld-llama-cpp/: batches, sampling, constraints, llama.cpp"),
    (625, 120, 205, 307, "plugin", "plugins", "modeld/plugins/ finds them"),
    (625, 485, 205, 90, "core", "known to all of them", "modeld/values.py, requests.py,",
     "responses.py, errors.py,", "events.py, settings.py,", "interfaces.py for plugins"),
)  # fmt: skip
TEXTS: Final = (
    (640, 109, "small", "the server's process"),
    (25, 502, "small", "a worker process for each loaded model"),
    (330, 261, "small", "model_queue: who waits for a model"),
    (330, 277, "small", "budget: who holds how many bytes"),
    (330, 293, "small", "service: the one door to all of it"),
    (330, 389, "small", "channel, hosted: talk with them"),
    (330, 405, "small", "credit: pauses what nobody takes"),
    (635, 176, "small", "for the wire:"),
    (635, 193, "title", "routes, middleware,"),
    (635, 210, "title", "formatters, observers"),
    (635, 254, "small", "for serving:"),
    (635, 271, "title", "sources,"),
    (635, 288, "title", "eviction policies"),
    (635, 362, "small", "for hosting:"),
    (635, 379, "title", "backends"),
    (635, 415, "small", "modeld/builtin/: modeld's own"),
)
ARROWS: Final = (
    (105, 68, 105, 117),
    (285, 68, 285, 117),
    (485, 68, 485, 117),
    (180, 150, 207, 150),
    (105, 180, 105, 222, "modeld run"),
    (395, 180, 395, 222, "ModelService: plain values"),
    (285, 309, 285, 350, "EngineHost: start an engine, call it, close it"),
    (285, 427, 285, 482, "length-prefixed msgpack"),
    (622, 150, 583, 150),
    (622, 267, 583, 267),
    (622, 390, 583, 390),
)


def parts() -> str:
    """Return the picture of the parts."""
    picture = Picture(860, 590, "The parts of modeld, and who uses whom")
    for x, y, width, height, kind, *lines in BOXES:
        picture.box(x, y, width, height, kind, *lines)
    for x, y, kind, text in TEXTS:
        picture.text(x, y, text, kind)
    for x, y, to_x, to_y, *label in ARROWS:
        picture.arrow(x, y, to_x, to_y, *label)
    return picture.svg()


def stages() -> list[str]:
    """Return the stages of a request, as the page about them has its headings."""
    return re.findall(r"^## (\d+\. .+)$", (DOCS / STORY).read_text(), re.MULTILINE)


WHERE: Final = (
    "modeld/httpapi/server/",
    "modeld/httpapi/exchange/",
    "modeld/httpapi/exchange/",
    "modeld/serving/models/registry.py",
    "modeld/serving/state/model_queue.py",
    "modeld/serving/scheduling/scheduler.py, hosting/",
    "modeld/serving/leasing.py",
    "the worker, through modeld/hosting/",
    "modeld/httpapi/exchange/",
    "modeld/serving/leasing.py",
)
"""Who does the work of each stage."""

HELD: Final = (
    ("the connection", 1, 10),
    ("an id, a log line", 1, 10),
    ("the watch on the client", 3, 10),
    ("its entry in the queue", 5, 9),
    ("a slot", 7, 9),
    ("the engine's generator", 8, 9),
)
"""What a request holds, from which stage to which."""


def request() -> str:
    """Return the picture of a request's life."""
    titles = stages()
    top, step, left = 76, 56, 380
    height = top + step * len(titles) + 16
    picture = Picture(860, height, "The stages of a request, and what it holds meanwhile")
    picture.text(30, 34, "what happens", "title")
    picture.text(left, 34, "what it holds, in nested blocks", "title")
    picture.text(
        left, 52, "whoever leaves a block, however that is, gives back what it took", "small"
    )
    for number, (title, where) in enumerate(zip(titles, WHERE, strict=True)):
        y = top + step * number
        kind = "plugin" if "worker" in where else "core"
        picture.box(30, y, 340, 42, kind, title, where)
        if number:
            picture.arrow(195, y - step + 42, 195, y - 3)
    for column, (name, first, last) in enumerate(HELD):
        x, y = left + 78 * column, top + step * (first - 1)
        picture.box(x, y, 72, step * (last - first) + 42, "outside")
        for number, line in enumerate(_narrow(name)):
            picture.text(x + 8, y + 17 + 14 * number, line, "small")
    return picture.svg()


def _narrow(text: str) -> Iterator[str]:
    """Yield lines short enough for a column."""
    line: Sequence[str] = ()
    for word in text.split():
        if len(" ".join((*line, word))) > 10 and line:
            yield " ".join(line)
            line = ()
        line = (*line, word)
    yield " ".join(line)


PICTURES: Final = {"parts.svg": parts, "request.svg": request}


if __name__ == "__main__":
    for name, draw in PICTURES.items():
        (DOCS / "assets" / name).write_text(draw(), encoding="utf-8")
