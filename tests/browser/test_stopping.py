# SPDX-License-Identifier: GPL-3.0-only
"""A generation that nobody wants any more is not worked on any more."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.support.browser.deadlines import eventually
from tests.support.browser.harness import Harness
from tests.support.http.served import Served

pytestmark = pytest.mark.browser

STOPPED_WITHIN_S = 1.0


class LongGeneration:
    """A request that gives a few tokens and then waits for ever."""

    def __init__(self, harness: Harness, journal: Path, never: Path) -> None:
        self._journal = journal
        self._nonce = uuid.uuid4().hex
        harness.script(tokens=50, gate=str(never), gate_at=3, nonce=self._nonce)
        expect(harness["generation"]).to_contain_text("t2")

    def was_cancelled(self) -> bool:
        return f"cancel {self._nonce}" in self._journal.read_text()


def is_idle(served: Served) -> bool:
    instance = served.instance("a.gguf")
    return instance["inflight"] == 0 and instance["queue_len"] == 0


def check_cancelled(served: Served, long: LongGeneration) -> None:
    """The server has stopped within a second."""
    eventually(lambda: is_idle(served) and long.was_cancelled(), within_s=STOPPED_WITHIN_S)


@pytest.mark.parametrize("way", ["button", "Escape"])
def test_stopping_cancels_the_work_on_the_server(
    visit: Visit, rig: Served, journal: Path, tmp_path: Path, way: str
) -> None:
    harness = visit(rig).open("infer")
    harness.watch_status()
    long = LongGeneration(harness, journal, tmp_path / "never")
    assert not is_idle(rig)
    if way == "button":
        harness["stop-btn"].click()
    else:
        harness.page.keyboard.press("Escape")
    check_cancelled(rig, long)

    assert harness.statuses() == ["idle", "requesting", "idle"]
    expect(harness.page.get_by_text(re.compile("stopped", re.IGNORECASE))).to_be_visible()
    assert harness["generation"].inner_text().split() == ["t0", "t1", "t2"]
    assert harness.generate("and on it goes").strip() == "and on it goes"


@pytest.mark.parametrize("way", ["reload", "close", "elsewhere"])
def test_leaving_the_page_cancels_the_work_on_the_server(
    visit: Visit, rig: Served, journal: Path, tmp_path: Path, way: str
) -> None:
    harness = visit(rig).open("infer")
    long = LongGeneration(harness, journal, tmp_path / "never")
    if way == "reload":
        harness.page.reload()
    elif way == "close":
        harness.page.close()
    else:
        harness.page.goto("about:blank")
    check_cancelled(rig, long)


def test_other_pages_of_the_dashboard_do_not_stop_a_generation(
    visit: Visit, rig: Served, journal: Path, tmp_path: Path
) -> None:
    harness = visit(rig).open("infer")
    gate = tmp_path / "gate"
    harness.script(tokens=5, gate=str(gate), gate_at=3)
    expect(harness["generation"]).to_contain_text("t2")
    harness.go("health")
    gate.touch()
    harness.go("infer")
    harness.wait_for_status("success")
    assert harness["generation"].inner_text().split() == ["t0", "t1", "t2", "t3", "t4"]
