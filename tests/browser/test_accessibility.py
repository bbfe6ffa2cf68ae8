# SPDX-License-Identifier: GPL-3.0-only
"""Every page by axe-core's rules, in light and dark, on a telephone and on a desk."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import Start, Visit
from tests.support.browser.harness import PAGES, Mode
from tests.support.browser.sites import Site
from tests.support.gguf.tiny_gguf import write_gguf
from tests.support.http.served import Served

pytestmark = pytest.mark.browser

IN_MOCK_MODE = pytest.mark.parametrize("mode", ["mock"])
THEMES = pytest.mark.parametrize("theme", ["light", "dark"])
WIDTHS = pytest.mark.parametrize("width", [360, 1280])
LONG_ID = f"{'a-model-with-a-very-long-name-' * 4}q4.gguf"


def violations(page: Page) -> list[str]:
    """Return what is serious or critical, with the places."""
    found = Axe().run(page).response["violations"]
    return [
        f"{each['impact']} {each['id']}: {node['target']} {node['failureSummary']}"
        for each in found
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]


def wider_by(page: Page) -> int:
    """Return by how many pixels the page is wider than its window."""
    pixels: int = page.evaluate(
        "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
    )
    return pixels


@IN_MOCK_MODE
@THEMES
@WIDTHS
def test_no_page_breaks_a_rule_or_is_wider_than_its_window(
    visit: Visit, site: Site, mode: Mode, theme: str, width: int
) -> None:
    viewport = {"width": width, "height": 800}
    harness = visit(site, mode=mode, color_scheme=theme, viewport=viewport).open()
    for name in PAGES:
        harness.go(name)
        if name == "infer":
            harness.generate("Tell me something")
        assert violations(harness.page) == [], name
        assert wider_by(harness.page) == 0, name


@THEMES
def test_what_went_wrong_is_shown_within_the_rules(
    visit: Visit, start: Start, tmp_path: Path, theme: str
) -> None:
    write_gguf(tmp_path / LONG_ID, "rig")
    (tmp_path / f"broken-{LONG_ID}").write_bytes(b"GGML")
    served: Served = start(tmp_path, "--default-model", LONG_ID)
    viewport = {"width": 360, "height": 800}
    harness = visit(served, color_scheme=theme, viewport=viewport).open("infer")
    harness.witness.may_be_refused(404, 422)
    harness.generate("hello " + "x" * 300)
    harness.ask("hello", f"no-{LONG_ID}")
    harness.wait_for_status("error")
    assert violations(harness.page) == []
    for name in PAGES:
        harness.go(name)
        assert violations(harness.page) == [], name
        assert wider_by(harness.page) == 0, name


def test_the_form_for_a_key_is_within_the_rules(
    visit: Visit, start: Start, rig_folder: Path, tmp_path: Path
) -> None:
    keys = tmp_path / "keys"
    keys.write_text("a-key-of-some-length\n")
    keys.chmod(0o600)
    harness = visit(start(rig_folder, "--api-key-file", str(keys)))
    harness.witness.may_be_refused(401)
    harness.open()
    expect(harness["api-key-input"]).to_be_visible()
    assert violations(harness.page) == []


@IN_MOCK_MODE
def test_each_page_has_a_title_of_its_own(visit: Visit, site: Site, mode: Mode) -> None:
    harness = visit(site, mode=mode).open()
    titles = []
    for name in PAGES:
        harness.go(name)
        expect(harness.page.get_by_role("heading", level=1)).to_have_count(1)
        titles.append(harness.page.title())
    assert len(set(titles)) == len(PAGES)
