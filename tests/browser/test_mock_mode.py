# SPDX-License-Identifier: GPL-3.0-only
"""In mock mode the page answers itself: always the same, and without any network."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.support.browser.harness import PAGES, Harness, Mode
from tests.support.browser.sites import Site

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("mode", ["mock"])]

_FILE = re.compile(r"GET /ui/(|[\w./-]+\.(js|css|svg))")


def use_everything(harness: Harness) -> None:
    """See every page, ask once and move a model."""
    for name in PAGES:
        harness.go(name)
    harness.go("infer")
    harness.generate("anything")
    harness.go("models")
    harness["pin-btn"].first.click()
    harness.go("overview")
    expect(harness["memory-bar"]).to_be_visible()


def test_nothing_but_static_files_is_asked_for(visit: Visit, site: Site, mode: Mode) -> None:
    harness = visit(site, mode=mode).open()
    use_everything(harness)
    for request in harness.witness.requests:
        method, _, url = request.partition(" ")
        assert _FILE.fullmatch(f"{method} {urlsplit(url).path}"), request


def test_it_works_without_a_network_once_it_is_loaded(visit: Visit, site: Site, mode: Mode) -> None:
    harness = visit(site, mode=mode).open()
    harness.witness.may_lose_connection()  # Chromium asks for the icon on every page anew
    harness.page.context.set_offline(True)
    loaded = len(harness.witness.requests)
    use_everything(harness)
    later = harness.witness.requests[loaded:]
    assert [each for each in later if not each.endswith("/ui/icon.svg")] == []


def test_two_runs_give_the_same_lines(visit: Visit, site: Site, mode: Mode) -> None:
    logs = []
    for _ in range(2):
        harness = visit(site, mode=mode).open("infer")
        harness.generate("Tell me something")
        logs.append(harness.text("stream-log"))
    assert logs[0] == logs[1]


def test_stopping_keeps_what_came(visit: Visit, site: Site, mode: Mode) -> None:
    harness = visit(site, mode=mode).open("infer")
    harness.ask("Tell me something")
    expect(harness["generation"]).not_to_be_empty()
    harness["stop-btn"].click()
    harness.wait_for_status("idle")
    lines = harness.log_lines()
    assert lines
    assert not any(line.get("done") for line in lines)
