# SPDX-License-Identifier: GPL-3.0-only
"""Models are loaded, unloaded and pinned from the page, and their memory is drawn."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.conftest import Start, Visit
from tests.support.browser.harness import Harness, Mode
from tests.support.browser.sites import Site
from tests.support.gguf.tiny_gguf import write_gguf
from tests.support.http.served import Served

pytestmark = pytest.mark.browser

_COLOURS = """
canvas => {
  const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const seen = new Set();
  for (let at = 0; at < data.length; at += 4)
    if (data[at + 3] > 200) seen.add(`${data[at]},${data[at + 1]},${data[at + 2]}`);
  return seen.size;
}
"""


@pytest.fixture
def narrow(start: Start, rig_folder: Path) -> Served:
    """Return a server with room for one of its two models."""
    options = json.dumps({"*": {"estimate_mb": 40, "held_mb": 40}})
    budget = ("--memory-budget-mb", "60", "--min-residence-s", "0", "--models", options)
    return start(rig_folder, "--default-model", "a.gguf", *budget)


def is_drawn(chart: Locator) -> None:
    """Something was painted in more than one colour."""
    canvas = chart.locator("canvas").first
    expect(canvas).to_be_visible()
    assert canvas.evaluate(_COLOURS) > 1


def load(harness: Harness, model: str) -> None:
    harness.of_model("load-btn", model).click()
    expect(harness.of_model("unload-btn", model)).to_be_enabled()


def test_a_model_is_loaded_and_unloaded_by_its_buttons(visit: Visit, narrow: Served) -> None:
    harness = visit(narrow).open("models")
    load(harness, "a.gguf")
    assert narrow.instance("a.gguf")["state"] == "ready"
    harness.of_model("unload-btn", "a.gguf").click()
    expect(harness.of_model("load-btn", "a.gguf")).to_be_enabled()
    assert narrow.state("a.gguf") == "absent"


def test_a_model_that_made_room_is_listed_with_the_reason(visit: Visit, narrow: Served) -> None:
    harness = visit(narrow).open("models")
    load(harness, "a.gguf")
    load(harness, "b.gguf")
    assert narrow.state("a.gguf") == "absent"
    harness.go("overview")
    evicted = harness["events-list"].locator("li", has_text="a.gguf").filter(has_text="room")
    expect(evicted.first).to_be_visible()


def test_a_pinned_model_stays_and_the_refusal_is_shown(visit: Visit, narrow: Served) -> None:
    harness = visit(narrow).open("models")
    harness.witness.may_be_refused(507, 503, 429)
    load(harness, "a.gguf")
    pin = harness.of_model("pin-btn", "a.gguf")
    pin.click()
    expect(pin).to_have_attribute("aria-pressed", "true")
    assert narrow.instance("a.gguf")["pinned"] is True

    harness.of_model("load-btn", "b.gguf").click()
    expect(harness.page.get_by_role("alert")).to_contain_text("b.gguf")
    assert narrow.instance("a.gguf")["state"] == "ready"

    pin.click()
    expect(pin).to_have_attribute("aria-pressed", "false")
    assert narrow.instance("a.gguf")["pinned"] is False


def test_the_memory_of_a_loaded_model_is_shown_and_drawn(visit: Visit, narrow: Served) -> None:
    narrow.post("/infer", {"prompt": "hello"})
    harness = visit(narrow).open()
    bar = harness["memory-bar"]
    expect(bar).to_have_attribute("aria-label", re.compile("40 MiB of 60 MiB held"))
    legend = bar.locator("xpath=following-sibling::*[1]")
    expect(legend).to_contain_text("a.gguf")
    expect(legend).to_contain_text("40 MiB")
    is_drawn(harness["memory-chart"])


def test_a_server_without_a_loaded_model_says_so(visit: Visit, narrow: Served) -> None:
    harness = visit(narrow).open()
    expect(harness["memory-bar"]).to_be_visible()
    expect(harness["memory-bar"]).not_to_contain_text("NaN")
    expect(harness.page.get_by_role("main")).not_to_contain_text("NaN")


@pytest.mark.parametrize("mode", ["mock"])
def test_all_charts_of_a_busy_server_are_drawn(visit: Visit, site: Site, mode: Mode) -> None:
    harness = visit(site, mode=mode).open()
    for chart in ("memory-chart", "speed-chart"):
        is_drawn(harness[chart])
    expect(harness["events-list"].locator("li").first).to_be_visible()
    expect(harness.page.get_by_role("main")).not_to_contain_text("NaN")


def test_a_file_that_is_new_is_found_without_a_restart(
    visit: Visit, start: Start, tmp_path: Path
) -> None:
    harness = visit(start(tmp_path)).open("models")
    expect(harness["models-count"]).to_have_text("0 models")
    write_gguf(tmp_path / "new.gguf", "rig")
    harness["models-refresh"].click()
    expect(harness["models-table"]).to_contain_text("new.gguf")
