# SPDX-License-Identifier: GPL-3.0-only
"""What the model thinks and which tools it calls stands apart from what it says."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import Route, expect

from tests.browser.conftest import Visit
from tests.support.http.served import Served

pytestmark = pytest.mark.browser

CALL = {"index": 0, "id": "c", "name": "weather", "arguments": '{"city":"Rome"}'}
END = {
    "done": True,
    "content": "",
    "finish_reason": "tool_calls",
    "usage": {
        "prompt_tokens": 1,
        "completion_tokens": 2,
        "cached_tokens": 0,
        "total_tokens": 3,
    },
    "tool_calls": [{name: CALL[name] for name in ("id", "name", "arguments")}],
}


def test_reasoning_stands_above_the_text(visit: Visit, rig: Served) -> None:
    harness = visit(rig).open("infer")
    harness.script(tokens=4, thinks=2)
    harness.wait_for_status("success")
    assert harness.text("reasoning").split() == ["t0", "t1"]
    assert harness.text("generation").split() == ["t2", "t3"]
    expect(harness["tool-calls"]).not_to_be_attached()


def test_calls_of_tools_are_listed(visit: Visit, rig: Served) -> None:
    harness = visit(rig).open("infer")
    lines = "".join(f"{json.dumps(line)}\n" for line in ({"tool_call": CALL}, END))

    def call(route: Route) -> None:
        route.fulfill(status=200, content_type="application/x-ndjson", body=lines)

    harness.page.route("**/infer", call)
    harness.ask("How is the weather?")
    harness.wait_for_status("success")
    assert harness.text("tool-calls") == 'weather({"city":"Rome"})'
    expect(harness["reasoning"]).not_to_be_attached()
