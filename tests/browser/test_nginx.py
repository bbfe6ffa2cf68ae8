# SPDX-License-Identifier: GPL-3.0-only
"""The dashboard and its streams through an nginx that buffers, as it does unless told otherwise."""

from __future__ import annotations

import statistics
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Start, Visit
from tests.support.browser.deadlines import eventually
from tests.support.browser.fronts import nginx
from tests.support.http.served import Served, script

pytestmark = pytest.mark.browser

REPEATS = 9
LATER_BY_S = 0.1


@pytest.fixture(scope="module")
def front(rig: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with nginx(rig.url, tmp_path_factory.mktemp("nginx")) as front:
        yield front


def first_token_s(url: str, never: Path) -> float:
    """Return the time to the first token of a generation whose second one never comes."""
    body = script(tokens=3, gate=str(never), gate_at=1)
    began_s = time.monotonic()
    with httpx.stream("POST", f"{url}/infer", json=body, timeout=30) as response:
        for line in response.iter_lines():
            assert "t0" in line
            return time.monotonic() - began_s
    raise AssertionError("the response has no line")


def test_the_first_token_comes_as_fast_as_without_nginx(
    rig: Served, front: Served, tmp_path: Path
) -> None:
    rig.post("/infer", {"prompt": "warm"})
    never = tmp_path / "never"
    direct, through = [], []
    for _ in range(REPEATS):
        direct.append(first_token_s(rig.url, never))
        through.append(first_token_s(front.url, never))
    assert statistics.median(through) < statistics.median(direct) + LATER_BY_S


@pytest.mark.parametrize("prefix", ["", "/below/a/path"])
def test_the_page_streams_through_nginx(
    visit: Visit, front: Served, tmp_path: Path, prefix: str
) -> None:
    harness = visit(front, prefix=prefix).open("infer")
    gate = tmp_path / "gate"
    harness.script(tokens=4, gate=str(gate), gate_at=1)
    expect(harness["generation"]).to_have_text("t0")
    gate.touch()
    harness.wait_for_status("success")
    assert harness["generation"].inner_text().split() == ["t0", "t1", "t2", "t3"]
    harness.go("overview")
    expect(harness.of_model("instance-row", "a.gguf")).to_have_attribute("data-state", "ready")


def test_stopping_cancels_the_work_behind_nginx(
    visit: Visit, rig: Served, front: Served, journal: Path, tmp_path: Path
) -> None:
    harness = visit(front).open("infer")
    nonce = uuid.uuid4().hex
    harness.script(tokens=9, gate=str(tmp_path / "never"), gate_at=2, nonce=nonce)
    expect(harness["generation"]).to_contain_text("t1")
    harness["stop-btn"].click()
    eventually(lambda: f"cancel {nonce}" in journal.read_text(), within_s=1.0)
    eventually(lambda: rig.instance("a.gguf")["inflight"] == 0, within_s=1.0)


def test_a_server_that_dies_behind_nginx_is_an_error_and_no_end(
    visit: Visit, start: Start, rig_folder: Path, tmp_path: Path
) -> None:
    served = start(rig_folder, "--default-model", "a.gguf")
    with nginx(served.url, tmp_path) as front:
        harness = visit(front).open("infer")
        harness.witness.may_be_refused(502)
        harness.witness.may_lose_connection()
        harness.script(tokens=9, gate=str(tmp_path / "never"), gate_at=3)
        expect(harness["generation"]).to_contain_text("t2")
        served.process.kill()
        harness.wait_for_status("error")
        expect(harness["error-text"]).to_contain_text("cut")
        assert harness["generation"].inner_text().split() == ["t0", "t1", "t2"]
