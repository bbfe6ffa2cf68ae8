# SPDX-License-Identifier: GPL-3.0-only
"""A server that needs an API key, and where the page keeps it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.support.browser.harness import Harness
from tests.support.http.served import Served, serving

pytestmark = pytest.mark.browser

KEY = "correct-horse-battery-staple"


@pytest.fixture(scope="module")
def locked(rig_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(f"{KEY}\n")
    keys.chmod(0o600)
    arguments = ("--default-model", "a.gguf", "--api-key-file", str(keys))
    with serving(rig_folder, *arguments) as served:
        yield served


@pytest.fixture
def harness(visit: Visit, locked: Served) -> Harness:
    harness = visit(locked)
    harness.witness.may_be_refused(401)
    return harness


def enter(harness: Harness, key: str) -> None:
    harness["api-key-input"].fill(key)
    harness["api-key-save"].click()


def kept(harness: Harness) -> dict[str, Any]:
    """Return everything that this browser has stored."""
    script = "() => ({session: {...sessionStorage}, local: {...localStorage}})"
    stored: dict[str, Any] = harness.page.evaluate(script)
    return {**stored, "cookies": harness.page.context.cookies()}


def test_the_page_asks_for_a_key_and_works_with_it(harness: Harness) -> None:
    harness.open("infer")
    expect(harness["api-key-input"]).to_be_visible()
    expect(harness["models-count"]).to_be_empty()
    enter(harness, KEY)
    expect(harness["api-key-input"]).to_have_count(0)
    expect(harness["models-count"]).to_have_text("2 models")
    assert harness.generate("hello").strip() == "hello"
    harness.page.reload()
    expect(harness["models-count"]).to_have_text("2 models")
    expect(harness["api-key-input"]).to_have_count(0)


def test_a_wrong_key_is_called_wrong_and_can_be_replaced(harness: Harness) -> None:
    harness.open()
    expect(harness.page.get_by_text("needs an API key")).to_be_visible()
    enter(harness, "no-key-of-this-server")
    expect(harness.page.get_by_text("not known to the server")).to_be_visible()
    enter(harness, KEY)
    expect(harness["models-count"]).to_have_text("2 models")


def test_the_key_is_kept_in_the_tab_only(harness: Harness) -> None:
    harness.open()
    enter(harness, KEY)
    expect(harness["models-count"]).to_have_text("2 models")
    stored = kept(harness)
    assert KEY in stored["session"].values()
    assert KEY not in json.dumps([stored["local"], stored["cookies"]])
    assert not any(KEY in request for request in harness.witness.requests)
    assert KEY not in harness.page.content()

    other = harness.page.context.new_page()
    other.goto(harness.page.url)
    expect(other.get_by_test_id("api-key-input")).to_be_visible()


def test_the_key_can_be_forgotten(harness: Harness) -> None:
    harness.open()
    enter(harness, KEY)
    harness["api-key-clear"].click()
    expect(harness["api-key-input"]).to_be_visible()
    assert KEY not in json.dumps(kept(harness))


def test_no_request_is_repeated_while_a_key_is_missing(harness: Harness) -> None:
    harness.page.clock.install()
    harness.open()
    expect(harness["api-key-input"]).to_be_visible()
    harness.page.wait_for_load_state("networkidle")
    asked = len(harness.witness.requests)
    harness.page.clock.run_for(60_000)
    assert harness.witness.requests[asked:] == []
    enter(harness, KEY)
    expect(harness["models-count"]).to_have_text("2 models")
    asked = len(harness.witness.requests)
    harness.page.clock.run_for(5000)
    assert harness.witness.requests[asked:] != []


def test_a_key_that_is_refused_in_the_middle_is_asked_for(harness: Harness) -> None:
    harness.open("infer")
    expect(harness["api-key-input"]).to_be_visible()
    harness.ask("hello")
    harness.wait_for_status("error")
    expect(harness.page.get_by_text("401 unauthorized")).to_be_visible()
