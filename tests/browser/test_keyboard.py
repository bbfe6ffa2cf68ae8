# SPDX-License-Identifier: GPL-3.0-only
"""The dashboard without a mouse."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.support.browser.harness import PAGES, Harness, Mode
from tests.support.browser.sites import Site

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("mode", ["mock"])]

# Everything that a mouse could use, numbered; of radio buttons the group is one stop.
_NUMBER = """
() => {
  const usable = [...document.querySelectorAll(
    "a[href], button, input, textarea, select, summary, [tabindex]:not([tabindex='-1'])")]
    .filter(each => each.checkVisibility() && !each.disabled && each.tabIndex >= 0)
    .filter(each => each.type !== "radio" || each.checked);
  usable.forEach((each, number) => { each.dataset.stop = number; });
  return usable.length;
}
"""
_FOCUSED = """
() => {
  const at = document.activeElement;
  if (at === document.body) return null;
  const style = getComputedStyle(at);
  return {
    stop: at.dataset.stop ?? null,
    what: at.outerHTML.slice(0, 120),
    ring: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2
      || style.boxShadow !== "none",
  };
}
"""


@pytest.fixture
def harness(visit: Visit, site: Site, mode: Mode) -> Harness:
    return visit(site, mode=mode)


@pytest.mark.parametrize("name", PAGES)
def test_tab_reaches_everything_in_order_and_shows_where_it_is(harness: Harness, name: str) -> None:
    harness.open(name)
    expect(harness["models-count"]).not_to_be_empty()
    count = harness.page.evaluate(_NUMBER)
    assert count >= 9
    stops: list[str] = []
    for _ in range(count):
        harness.page.keyboard.press("Tab")
        focused = harness.page.evaluate(_FOCUSED)
        assert focused, f"the focus left the page after {stops}"
        assert focused["ring"], focused["what"]
        stops.append(focused["stop"])
    assert stops == [str(number) for number in range(count)]


def test_the_first_stop_leads_past_the_navigation(harness: Harness) -> None:
    harness.open("infer")
    harness.page.keyboard.press("Tab")
    skip = harness.page.get_by_role("link", name="Skip to content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    harness.page.keyboard.press("Enter")
    expect(harness.page.get_by_role("main")).to_be_focused()
    expect(harness["nav-infer"]).to_have_attribute("aria-current", "page")
    harness.page.keyboard.press("Tab")
    assert harness.page.evaluate("() => document.activeElement.closest('main') !== null")


def test_a_prompt_is_sent_and_stopped_from_the_keyboard(harness: Harness) -> None:
    harness.open("infer")
    harness["prompt-input"].focus()
    harness.page.keyboard.type("Tell me something")
    harness.watch_status()
    harness.page.keyboard.press("Control+Enter")
    expect(harness["generation"]).not_to_be_empty()
    expect(harness["prompt-input"]).to_be_focused()
    harness.page.keyboard.press("Escape")
    harness.wait_for_status("idle")
    harness.page.keyboard.press("Control+Enter")
    harness.wait_for_status("success")
    assert harness.statuses() == ["idle", "requesting", "idle", "requesting", "success"]


def test_the_focus_stays_where_it_is_while_models_change(harness: Harness) -> None:
    harness.open("models")
    pin = harness["pin-btn"].first
    model = json.dumps(pin.get_attribute("data-model"))
    pin.focus()
    before = pin.get_attribute("aria-pressed")
    harness.page.keyboard.press("Enter")
    expect(pin).not_to_have_attribute("aria-pressed", before or "")
    expect(pin).to_be_focused()
    assert harness.page.evaluate("() => document.activeElement.dataset.model") == json.loads(model)
