# SPDX-License-Identifier: GPL-3.0-only
"""Every link, anchor and path on the pages leads somewhere."""

from __future__ import annotations

import importlib
import posixpath
import re

import pytest

from tests.bench.page import BEGIN, END
from tests.support.docs.pages import DOCS, PAGES, ROOT, anchor, headings, prose, read

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
SOURCES = ("https://arxiv.org/abs/", "https://github.com/")
"""Where pages may lead to: papers, and the projects that something was taken from."""

FOLDERS = ("modeld", "tests", "examples", "plugins", "requirements", "docs", "scripts", "deploy")

SUFFIXES = ("conf", "json", "service", "slice", "socket", "toml", "yaml", "yml")
"""Of files that are called as the package is."""


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_pages_and_headings_that_exist(page: str) -> None:
    for target in LINK.findall(prose(page)):
        if target.startswith(SOURCES):
            continue
        assert "://" not in target, f"{page}: {target} leads elsewhere"
        name, _, fragment = target.partition("#")
        goal = posixpath.normpath(posixpath.join(posixpath.dirname(page), name)) if name else page
        assert (DOCS / goal).is_file(), f"{page}: {target}"
        if fragment:
            assert fragment in map(anchor, headings(goal)), f"{page}: {target}"


@pytest.mark.parametrize("page", PAGES)
def test_anchors_are_unique_and_the_same_for_every_renderer(page: str) -> None:
    anchors = [anchor(heading) for heading in headings(page)]
    assert len(set(anchors)) == len(anchors)
    assert not [each for each in anchors if "--" in each or each.startswith("-")]


def leads_to(page: str) -> set[str]:
    """Return the pages that one page links to."""
    targets = {target.partition("#")[0] for target in LINK.findall(prose(page))}
    return {posixpath.normpath(posixpath.join(posixpath.dirname(page), each)) for each in targets}


def test_the_index_leads_to_every_kind_and_each_kinds_first_page_to_all_of_its_pages() -> None:
    first_pages = {page for page in PAGES if page.endswith("/index.md")}
    top = {page for page in PAGES if "/" not in page}
    assert leads_to("index.md") >= first_pages | top - {"index.md"}
    for first in first_pages:
        kind = {page for page in PAGES if page.startswith(f"{posixpath.dirname(first)}/")}
        assert leads_to(first) >= kind - {first}
    assert {page.partition("/")[0] for page in PAGES} - top == {
        posixpath.dirname(first) for first in first_pages
    }


@pytest.mark.parametrize("page", PAGES)
def test_paths_of_this_repository_exist(page: str) -> None:
    for path in re.findall(r"`([\w./-]+)`", read(page)):
        if path.partition("/")[0] in FOLDERS and "/" in path:
            assert (ROOT / path).exists(), f"{page}: {path}"


@pytest.mark.parametrize("page", PAGES)
def test_names_of_the_code_exist(page: str) -> None:
    for name in re.findall(r"`(modeld(?:\.\w+)+)`", read(page)):
        module, _, attribute = name.rpartition(".")
        if attribute in SUFFIXES:
            continue
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            assert hasattr(importlib.import_module(module), attribute), f"{page}: {name}"


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_plain_markdown_with_one_title(page: str) -> None:
    text = prose(page)
    assert len(re.findall(r"^# ", text, re.MULTILINE)) == 1
    assert text.startswith("# ")
    text = text.replace(BEGIN, "").replace(END, "")  # between which a script writes
    assert not re.search(r"</?[a-z][^>]*>|<!--", re.sub(r"`[^`]*`", "", text))
