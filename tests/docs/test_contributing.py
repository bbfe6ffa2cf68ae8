# SPDX-License-Identifier: GPL-3.0-only
"""CONTRIBUTING.md names files, verbs, hooks and pages that exist, and its reading is short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from modeld import events, hookspecs
from modeld.requests import Sampling
from modeld.settings import Settings
from tests.support.docs.pages import ROOT, anchor, rows, section

TEXT = (ROOT / "CONTRIBUTING.md").read_text()
WORDS = re.findall(r"`([^`\n]+)`", TEXT)
SECTIONS = dict(re.findall(r"^## (Add [^\n]+)\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL))
TREES = ("modeld/", "plugins/", "tests/", "docs/", "examples/", "scripts/", "requirements/")

TABLES = {
    "Add a setting": ("modeld/settings/table.py", Settings),
    "Add an event": ("modeld/events.py", events),
    "Add a sampling parameter": ("modeld/requests.py", Sampling),
    "Add a hook": ("modeld/hookspecs.py", hookspecs),
}
"""What is declared in one place, and where that is."""


def named(text: str) -> list[str]:
    """The files and folders of this repository in a text."""
    return [each for each in re.findall(r"`([\w./-]+)`", text) if each.startswith(TREES)]


def test_what_is_added_most_often_has_a_section() -> None:
    things = ("a setting", "a rule to the scheduler", "a member of a request", "an event")
    things += ("a sampling parameter", "a route", "a backend", "a hook")
    assert list(SECTIONS) == [f"Add {thing}" for thing in things]


@pytest.mark.parametrize("heading", SECTIONS)
def test_a_section_says_what_to_do_in_files_that_exist(heading: str) -> None:
    header, *table = rows(SECTIONS[heading])
    assert header == ("file", "what to do there")
    assert len(table) > 3
    assert all(what for _, what in table)
    for path in named(SECTIONS[heading]):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("heading", TABLES)
def test_the_place_of_the_one_table_is_right(heading: str) -> None:
    path, declared = TABLES[heading]
    assert path in named(SECTIONS[heading])
    module = declared.__module__ if isinstance(declared, type) else declared.__name__
    assert f"{module.replace('.', '/')}.py" == path


def test_each_kind_is_held_to_its_page_by_a_test() -> None:
    """What the sections say is written by a script, or compared, is that."""
    for page in ("settings", "events", "cli", "metrics"):
        assert (ROOT / "tests" / "docs" / f"test_{page}_page.py").is_file()
    assert (ROOT / "scripts" / "cli_reference.py").is_file()


def test_every_path_verb_and_hook_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    verbs = set(re.findall(r"^([a-z][a-z0-9-]*):.*## ", makefile, re.MULTILINE))
    for path in named(TEXT):
        assert (ROOT / path).exists(), path
    lines = [*WORDS, *(line.strip() for line in TEXT.splitlines() if line.startswith("    make"))]
    said = [line.partition("#")[0] for line in lines if line.startswith("make ")]
    asked = {word for line in said for word in line.split()[1:] if re.fullmatch(r"[a-z-]+", word)}
    assert {"dev", "test", "lint", "format", "swagger", "lock"} <= asked <= verbs
    hooks = {word for word in WORDS if re.fullmatch(r"modeld_(register|choose|build)_\w+", word)}
    assert hooks
    assert all(hasattr(hookspecs, hook) for hook in hooks)


def test_every_link_leads_to_a_page_and_a_heading() -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#([^)\s]+))?\)", TEXT)
    assert len(links) > 5
    for path, fragment in links:
        text = (ROOT / path).read_text()
        anchors = map(anchor, re.findall(r"^#+ (.+)$", text, re.MULTILINE))
        assert not fragment or fragment in anchors, f"{path}#{fragment}"


def test_the_reading_order_is_seven_files_that_can_be_read() -> None:
    table = rows(section("explanation/architecture.md", "Where to begin reading"))
    files = [Path(ROOT, row[0].strip("`")) for row in table[1:]]
    assert len(files) == 7
    assert sum(len(file.read_text().splitlines()) for file in files) < 3000
