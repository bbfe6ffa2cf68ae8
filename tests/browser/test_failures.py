# SPDX-License-Identifier: GPL-3.0-only
"""What can go wrong with a generation, and what the page says about it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Start, Visit
from tests.support.http.served import Served

pytestmark = pytest.mark.browser


def test_a_worker_that_dies_in_the_middle_is_an_error_and_no_end(visit: Visit, rig: Served) -> None:
    harness = visit(rig).open("infer")
    harness.script("b.gguf", tokens=9, fault="SIGKILL", at=3)
    harness.wait_for_status("error")
    alert = harness.page.get_by_role("alert")
    expect(alert).to_contain_text("worker_crashed")
    assert harness["generation"].inner_text().split() == ["t0", "t1", "t2"]
    assert json.loads(harness.text("result-json"))["reason"] == "worker_crashed"


def test_a_server_that_dies_in_the_middle_is_an_error_and_no_end(
    visit: Visit, start: Start, rig_folder: Path, tmp_path: Path
) -> None:
    served = start(rig_folder, "--default-model", "a.gguf")
    harness = visit(served).open("infer")
    harness.witness.may_lose_connection()
    harness.script(tokens=9, gate=str(tmp_path / "never"), gate_at=3)
    expect(harness["generation"]).to_contain_text("t2")
    served.process.kill()
    harness.wait_for_status("error")
    expect(harness["error-text"]).to_contain_text("cut")
    assert harness["generation"].inner_text().split() == ["t0", "t1", "t2"]


def test_a_response_that_ends_in_order_without_its_last_line_is_an_error(
    visit: Visit, rig: Served
) -> None:
    """As a proxy may end it that has lost the server."""
    harness = visit(rig).open("infer")
    harness.page.route("**/infer", lambda route: route.fulfill(body='{"token": "t0 "}\n'))
    harness.ask("hello")
    harness.wait_for_status("error")
    expect(harness["error-text"]).to_contain_text("cut")
    assert harness["generation"].inner_text().split() == ["t0"]


def test_a_line_that_is_no_json_is_an_error(visit: Visit, rig: Served) -> None:
    harness = visit(rig).open("infer")
    page = "<html>Bad Gateway</html>\n"
    harness.page.route("**/infer", lambda route: route.fulfill(body=page))
    harness.ask("hello")
    harness.wait_for_status("error")
    expect(harness["error-text"]).to_contain_text("not JSON")


def test_a_refused_setting_is_named(visit: Visit, rig: Served) -> None:
    harness = visit(rig).open("infer")
    harness.witness.may_be_refused(400)
    harness.set("temperature", "77")
    harness.ask("hello")
    harness.wait_for_status("error")
    expect(harness["error-text"]).to_contain_text("temperature")


def test_an_empty_prompt_is_refused(visit: Visit, rig: Served) -> None:
    harness = visit(rig).open("infer")
    harness.witness.may_be_refused(400)
    harness.ask("")
    harness.wait_for_status("error")
    expect(harness["error-text"]).to_contain_text("prompt")


def test_the_next_generation_clears_the_error(visit: Visit, rig: Served) -> None:
    harness = visit(rig).open("infer")
    harness.witness.may_be_refused(404)
    harness.ask("hello", "no-such-model")
    harness.wait_for_status("error")
    harness.generate("hello")
    expect(harness["error-text"]).to_have_count(0)


def test_characters_of_many_bytes_arrive_whole(visit: Visit, rig: Served) -> None:
    harness = visit(rig).open("infer")
    text = "żółć 日本語 👩‍👩‍👧‍👦 العربية"
    assert harness.generate(text).strip() == text
