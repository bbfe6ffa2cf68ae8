# SPDX-License-Identifier: GPL-3.0-only
"""The site builds without a warning, shows every page in its menu, and asks no other host."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest
import yaml

from tests.support.docs.pages import PAGES, ROOT, headings, prose

LOADING = {
    ("script", "src"),
    ("link", "href"),
    ("img", "src"),
    ("img", "srcset"),
    ("source", "src"),
    ("iframe", "src"),
    ("object", "data"),
    ("form", "action"),
}
"""What a browser fetches or sends by itself, or at a press of a key; not links in text."""

ELSEWHERE = re.compile(r"\s*(?:\w+:)?//")
DYNAMIC = {
    "https://api.github.com": "md-source",
    "https://unpkg.com/mermaid": "mermaid",
    "https://unpkg.com/resize-observer-polyfill": None,
}
"""Addresses in the theme's script, and the class without which it never asks them. The last one is
for browsers from before 2020 that have no ResizeObserver."""

HOSTS = ("unpkg.", "jsdelivr.", "cdnjs.", "googleapis.", "gstatic.", "github.com/repos", "api.")


class Element(NamedTuple):
    """One start tag of a built page."""

    page: str
    tag: str
    attributes: dict[str, str]
    in_text: bool


class Reader(HTMLParser):
    """Collects all start tags; those in the article are in the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.page = page
        self.found: list[Element] = []
        self._articles = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._articles += tag == "article"
        attributes = {name: value or "" for name, value in attrs}
        self.found.append(Element(self.page, tag, attributes, self._articles > 0))

    def handle_endtag(self, tag: str) -> None:
        self._articles -= tag == "article"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the site as it is built from the pages as they are."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert not re.search(r"warn|deprecat|end of life", said, re.IGNORECASE), said
    return folder


@pytest.fixture(scope="module")
def elements(site: Path) -> list[Element]:
    found: list[Element] = []
    for file in sorted(site.rglob("*.html")):
        reader = Reader(file.relative_to(site).as_posix())
        reader.feed(file.read_text())
        found += reader.found
    return found


def configuration() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    return loaded


def address(page: str) -> str:
    """Return where a page is below the site's own address."""
    name = page.removesuffix(".md")
    return name.removesuffix("index") if name.endswith("index") else f"{name}/"


def in_menu(entries: Any) -> Iterator[str]:
    """Yield the pages of a menu, in their order."""
    match entries:
        case str():
            yield entries
        case list():
            for entry in entries:
                yield from in_menu(entry)
        case dict():
            yield from in_menu(list(entries.values()))


def test_every_page_is_in_the_menu_once() -> None:
    assert sorted(in_menu(configuration()["nav"])) == PAGES


def test_the_menu_begins_with_the_four_kinds() -> None:
    titles = [title for section in configuration()["nav"] for title in section]
    assert titles == ["Start", "Tutorials", "How-to", "Reference", "Explanation"]


def test_every_page_is_built(site: Path) -> None:
    for page in PAGES:
        assert (site / address(page) / "index.html").is_file(), page


def test_nothing_is_loaded_from_elsewhere(elements: list[Element]) -> None:
    assert len(elements) > 1000
    for element in elements:
        for name, value in element.attributes.items():
            if (element.tag, name) in LOADING:
                assert not ELSEWHERE.match(value), element


def test_links_elsewhere_are_in_the_text_only(elements: list[Element]) -> None:
    away = [each for each in elements if ELSEWHERE.match(each.attributes.get("href", ""))]
    assert all(each.tag == "a" and each.in_text for each in away), away


def test_styles_import_nothing_from_elsewhere(site: Path) -> None:
    styles = [*site.rglob("*.css")]
    assert len(styles) > 1
    for file in styles:
        text = file.read_text()
        assert "@import" not in text, file
        assert not re.search(r"url\(\s*[\"']?(?:https?:)?//", text), file


def test_scripts_know_no_addresses_that_they_would_ask(site: Path, elements: list[Element]) -> None:
    """In the scripts that run (search's own are loaded by name from the site)."""
    (bundle,) = site.glob("assets/javascripts/bundle.*.js")
    text = re.sub(r"/\*.*?\*/", "", bundle.read_text(), flags=re.DOTALL)
    addresses = {each for each in re.findall(r"https?://[\w./@-]+", text) if is_asked(each)}
    for address in addresses:
        assert any(address.startswith(known) for known in DYNAMIC), address
    classes = {name for each in elements for name in each.attributes.get("class", "").split()}
    assert not classes & set(filter(None, DYNAMIC.values()))


def is_asked(address: str) -> bool:
    """Return whether scripts fetch from it, unlike from those of licences and manuals."""
    return any(host in address for host in HOSTS)


def test_the_search_has_an_index_of_every_page(site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text())
    locations = {entry["location"].partition("#")[0] for entry in index["docs"]}
    assert locations == {address(page) for page in PAGES}


def test_the_search_finds_words_within_paths_and_code() -> None:
    (search,) = [each["search"] for each in configuration()["plugins"] if "search" in each]
    words = re.split(search["separator"], "/models/{id}/pin: 0.3.36, queue_full")
    assert [word for word in words if word] == ["models", "id", "pin", "0.3.36", "queue_full"]


def test_lists_are_lists_in_this_renderer_too(site: Path) -> None:
    """Python-Markdown wants an empty line before a list, other renderers do not."""
    for page in PAGES:
        built = site / address(page) / "index.html"
        text = re.sub(r"<pre>.*?</pre>", "", built.read_text(), flags=re.DOTALL)
        assert not re.search(r"^(?:- |\d+\. |\|)", text, re.MULTILINE), page


def test_numbered_steps_stay_one_list(site: Path) -> None:
    """Python-Markdown ends a list at a block of code that is indented by less than four spaces."""
    for page in PAGES:
        begun = len(re.findall(r"^1\. ", prose(page), re.MULTILINE))
        built = (site / address(page) / "index.html").read_text()
        assert len(re.findall("<ol>", built)) == begun, page


def test_no_page_has_lost_a_heading(site: Path) -> None:
    for page in PAGES:
        built = site / address(page) / "index.html"
        found = re.findall(r"<h[1-6][ >]", built.read_text())
        assert len(found) == len(headings(page)), page


@pytest.mark.browser
def test_a_browser_asks_this_server_only(site: Path) -> None:
    from tests.support.browser.programs import chromium

    handler = partial(QuietHandler, directory=str(site))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    asked: set[str] = set()
    try:
        with chromium() as browser:
            page = browser.new_page()
            page.on("request", lambda request: asked.add(urlsplit(request.url).netloc))
            for path in ("", "tutorials/first-plugin/", "reference/api/", "how-to/gpu/"):
                page.goto(f"http://127.0.0.1:{server.server_port}/{path}", wait_until="networkidle")
            page.get_by_role("textbox", name="Search").fill("budget")
            page.get_by_role("link", name="Tuning memory").first.wait_for()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert asked == {f"127.0.0.1:{server.server_port}"}


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves the site and writes no log."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (its base's name)
        """Say nothing."""
