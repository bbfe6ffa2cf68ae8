# SPDX-License-Identifier: GPL-3.0-only
"""The documentation's pages, taken apart: headings, tables, links and blocks of code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))

_FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w+)(?: title=\"(?P<title>[^\"]+)\")?\n"
    r"(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """One fenced block. ``title`` names the file that it is cut from, or is a settings file."""

    page: str
    line: int
    language: str
    title: str | None
    text: str

    @property
    def where(self) -> str:
        """The place of the block, as a compiler names places."""
        return f"docs/{self.page}:{self.line}"


def read(page: str) -> str:
    """Return the text of one page."""
    return (DOCS / page).read_text(encoding="utf-8")


def prose(page: str) -> str:
    """Return a page without its blocks of code."""
    return _FENCE.sub("", read(page))


def blocks(language: str, *pages: str) -> list[Block]:
    """Return the blocks of one language, on these pages or on all of them."""
    return [
        block
        for page in pages or PAGES
        for block in every_block(page)
        if block.language == language
    ]


def every_block(page: str) -> Iterator[Block]:
    """Yield all blocks of a page in their order; those in a tab without its indentation."""
    text = read(page)
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        cut = re.sub(rf"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
        yield Block(page, line, match["language"], match["title"], cut)


def headings(page: str) -> list[str]:
    """Return the headings of a page, of all levels."""
    return re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)


def anchor(heading: str) -> str:
    """Return the anchor of a heading, as MkDocs and GitHub both make it for those used here."""
    kept = re.sub(r"[^\w\s-]", "", heading).strip().lower()
    return re.sub(r"\s+", "-", kept)


def section(page: str, heading: str) -> str:
    """Return what stands below one heading, up to the next of its level or above."""
    text = read(page)
    start = re.search(rf"^(#+) {re.escape(heading)}$", text, re.MULTILINE)
    assert start is not None, f"{page} has no heading {heading!r}"
    end = re.search(rf"^#{{1,{len(start[1])}}} ", text[start.end() :], re.MULTILINE)
    return text[start.end() :][: end.start() if end else None]


def rows(text: str) -> list[Sequence[str]]:
    """Return the cells of all table rows in a text, headers among them and rulers not."""
    lines = re.findall(r"^\|(.*)\|$", text, re.MULTILINE)
    cells = [tuple(cell.strip() for cell in line.split("|")) for line in lines]
    return [row for row in cells if set("".join(row)) != {"-"}]
