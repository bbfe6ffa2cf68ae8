# SPDX-License-Identifier: GPL-3.0-only
"""The two pictures are what the script draws, name what exists, and ask no other host."""

from __future__ import annotations

import re
from types import ModuleType
from xml.etree import ElementTree

import pytest

from tests.support.docs.pages import DOCS, ROOT, read

SVG = "{http://www.w3.org/2000/svg}"
PICTURES = {
    "parts.svg": "explanation/architecture.md",
    "request.svg": "explanation/life-of-a-request.md",
}
"""Each picture, and the page that shows it."""

SMALL, TITLE = 6.0, 7.7
"""How wide a letter of each kind is at most on average, in a wide font."""


@pytest.fixture
def script() -> ModuleType:
    return __import__("diagrams")


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_what_the_script_draws(name: str, script: ModuleType) -> None:
    assert set(script.PICTURES) == set(PICTURES)
    drawn = script.PICTURES[name]()
    assert (DOCS / "assets" / name).read_text() == drawn, "run scripts/diagrams.py"


@pytest.mark.parametrize(("name", "page"), PICTURES.items())
def test_its_page_shows_it_and_says_in_words_what_it_shows(name: str, page: str) -> None:
    (said,) = re.findall(rf"!\[([^\]]+)\]\(\.\./assets/{re.escape(name)}\)", read(page))
    assert len(said) > 20


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_loads_nothing(name: str) -> None:
    text = (DOCS / "assets" / name).read_text().replace(SVG.strip("{}"), "")
    assert not re.search(r"://|href|@import|<script|<image", text)


@pytest.mark.parametrize("name", PICTURES)
def test_files_and_folders_in_a_picture_exist(name: str) -> None:
    text = (DOCS / "assets" / name).read_text()
    paths = re.findall(r"\b(?:modeld|plugins)/[\w./-]*[\w/]", text)
    assert len(paths) > 5
    for path in paths:
        assert (ROOT / path).exists(), path


def test_modules_in_the_picture_of_the_parts_exist() -> None:
    picture = ElementTree.fromstring((DOCS / "assets" / "parts.svg").read_text())
    said = [element.text or "" for element in picture.iter(f"{SVG}text")]
    folders = {}
    for folder in ("serving", "hosting", "httpapi"):
        found = (ROOT / "modeld" / folder).rglob("*")
        folders[folder] = {path.stem for path in found}
    modules = set().union(*folders.values())
    named = [line.partition(":")[0].split(", ") for line in said if re.match(r"[a-z_, ]+: ", line)]
    names = {name for line in named for name in line if not name.startswith("for ")}
    assert len(names) > 10
    assert names <= modules


@pytest.mark.parametrize("name", PICTURES)
def test_a_line_fits_into_the_box_that_it_begins_in(name: str) -> None:
    picture = ElementTree.fromstring((DOCS / "assets" / name).read_text())
    boxes = [
        [float(box.get(side, "")) for side in ("x", "y", "width", "height")]
        for box in picture.iter(f"{SVG}rect")
    ]
    for line in picture.iter(f"{SVG}text"):
        x, y = float(line.get("x", "")), float(line.get("y", ""))
        around = [
            left + width
            for left, top, width, height in boxes
            if left <= x <= left + width and top <= y <= top + height
        ]
        letter = TITLE if line.get("class") == "title" else SMALL
        assert x + letter * len(line.text or "") <= min(around), line.text
