# SPDX-License-Identifier: GPL-3.0-only
"""The dashboard of a modeld that stands below a path of another application."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.support.browser.fronts import mounted
from tests.support.browser.harness import PAGES
from tests.support.http.served import Served

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def below(rig_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with mounted(rig_folder, tmp_path_factory.mktemp("mounted")) as served:
        yield served


def test_every_page_works_and_asks_for_nothing_outside_its_prefix(
    visit: Visit, below: Served
) -> None:
    harness = visit(below).open("infer")
    assert harness.generate("hello big world").strip() == "hello big world"
    for name in PAGES:
        harness.go(name)
    expect(harness["models-count"]).to_have_text("2 models")
    harness.go("models")
    harness.of_model("load-btn", "b.gguf").click()
    expect(harness.of_model("unload-btn", "b.gguf")).to_be_enabled()
    assert below.instance("b.gguf")["state"] == "ready"
    harness.go("overview")
    expect(harness.of_model("instance-row", "b.gguf")).to_have_attribute("data-state", "ready")
    paths = [urlsplit(request.partition(" ")[2]).path for request in harness.witness.requests]
    assert [path for path in paths if not path.startswith("/llm/")] == []


@pytest.mark.parametrize("address", ["/", "/ui", "/ui?mock=1"])
def test_shorter_addresses_lead_to_the_dashboard(visit: Visit, below: Served, address: str) -> None:
    harness = visit(below)
    harness.page.goto(below.url + address)
    expect(harness["mode"]).to_have_text("mock" if "mock" in address else "live")
    assert urlsplit(harness.page.url).path == "/llm/ui/"
