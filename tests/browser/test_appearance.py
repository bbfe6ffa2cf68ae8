# SPDX-License-Identifier: GPL-3.0-only
"""Light and dark, and movement only for those who want it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit
from tests.support.browser.harness import PAGES, Mode
from tests.support.browser.sites import Site

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("mode", ["mock"])]

_BRIGHTNESS = """
() => {
  const colour = getComputedStyle(document.body).backgroundColor;
  const canvas = document.createElement("canvas").getContext("2d");
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  const [red, green, blue] = canvas.getImageData(0, 0, 1, 1).data;
  return (red + green + blue) / 3;
}
"""
_MOVING = """
() => document.getAnimations()
  .filter(each => each.effect.getComputedTiming().duration > 10)
  .map(each => each.effect.target.outerHTML.slice(0, 100))
"""


def is_dark(page: Page) -> bool:
    brightness: float = page.evaluate(_BRIGHTNESS)
    return brightness < 128


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_looks_as_the_system_does_until_another_theme_is_chosen_for_good(
    visit: Visit, site: Site, mode: Mode, theme: str
) -> None:
    harness = visit(site, mode=mode, color_scheme=theme).open()
    before = theme == "dark"
    assert is_dark(harness.page) is before
    harness["theme-toggle"].click()
    assert is_dark(harness.page) is not before
    harness.page.reload()
    expect(harness["mode"]).to_be_visible()
    assert is_dark(harness.page) is not before

    other = harness.page.context.new_page()
    other.goto(harness.page.url)
    expect(other.get_by_test_id("mode")).to_be_visible()
    assert is_dark(other) is not before


def test_it_follows_the_system_while_it_is_open(visit: Visit, site: Site, mode: Mode) -> None:
    harness = visit(site, mode=mode, color_scheme="light").open()
    assert not is_dark(harness.page)
    harness.page.emulate_media(color_scheme="dark")
    assert is_dark(harness.page)


def test_nothing_moves_for_those_who_want_no_movement(visit: Visit, site: Site, mode: Mode) -> None:
    harness = visit(site, mode=mode, reduced_motion="reduce").open()
    for name in PAGES:
        harness.go(name)
        if name == "infer":
            harness.ask("Tell me something")
            expect(harness["generation"]).not_to_be_empty()
        assert harness.page.evaluate(_MOVING) == [], name
