# SPDX-License-Identifier: GPL-3.0-only
"""Whatever models, their files and their names say is text, and never becomes part of the page."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Start, Visit
from tests.support.browser.harness import PAGES, Harness
from tests.support.gguf.tiny_gguf import write_gguf
from tests.support.http.served import Served

pytestmark = pytest.mark.browser

EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script><svg onload=alert(3)></svg>"
EVIL_ID = "<img src=x onerror=alert(4)>\"'&lt;b.gguf"
EVIL_NAME = "<script>alert(5)</script><iframe src=javascript:alert(6)>"

_MADE_FROM_TEXT = "#app :is(img, script, iframe, [onerror], [onload]), body > script"


@pytest.fixture
def hostile(start: Start, tmp_path: Path) -> Served:
    """Return a server with a model whose id and name are markup."""
    write_gguf(tmp_path / EVIL_ID, "rig", name=EVIL_NAME)
    (tmp_path / f"broken {EVIL_ID}").write_bytes(b"<img>")
    return start(tmp_path, "--default-model", EVIL_ID)


def check_nothing_was_made(harness: Harness) -> None:
    """No element came from text; dialogs and reports are checked after every test anyway."""
    expect(harness.page.locator(_MADE_FROM_TEXT)).to_have_count(0)


def test_a_generation_with_markup_is_text(visit: Visit, rig: Served) -> None:
    harness = visit(rig).open("infer")
    assert harness.generate(EVIL).split() == EVIL.split()
    expect(harness["stream-log"]).to_contain_text("onload=alert(3)")
    expect(harness["result-json"]).to_contain_text("onload=alert(3)")
    check_nothing_was_made(harness)


def test_a_chat_with_markup_is_text(visit: Visit, rig: Served) -> None:
    harness = visit(rig).open("infer")
    harness["kind-chat"].check()
    harness.generate(EVIL)
    expect(harness.page.get_by_role("group", name="What was said before")).to_contain_text(
        "<img src=x onerror=alert(1)>"
    )
    check_nothing_was_made(harness)


def test_an_error_with_markup_is_text(visit: Visit, rig: Served) -> None:
    harness = visit(rig).open("infer")
    harness.witness.may_be_refused(404)
    harness.ask("hello", EVIL)
    harness.wait_for_status("error")
    expect(harness["error-text"]).to_contain_text("<img src=x onerror=alert(1)>")
    check_nothing_was_made(harness)


def test_models_whose_names_are_markup_are_shown_as_they_are_on_every_page(
    visit: Visit, hostile: Served
) -> None:
    harness = visit(hostile).open("infer")
    harness.generate("hello", EVIL_ID)
    for name in PAGES:
        harness.go(name)
        check_nothing_was_made(harness)
    harness.go("models")
    expect(harness["models-table"]).to_contain_text(EVIL_ID)
    expect(harness["models-table"]).to_contain_text(EVIL_NAME)
    harness.go("overview")
    expect(harness["events-list"]).to_contain_text(EVIL_ID)
    check_nothing_was_made(harness)


def test_a_model_with_markup_in_its_id_can_be_unloaded(visit: Visit, hostile: Served) -> None:
    hostile.post("/infer", {"prompt": "hello"})
    harness = visit(hostile).open("models")
    harness.of_model("unload-btn", EVIL_ID).click()
    expect(harness.of_model("load-btn", EVIL_ID)).to_be_enabled()
    assert hostile.state(EVIL_ID) == "absent"
    check_nothing_was_made(harness)
