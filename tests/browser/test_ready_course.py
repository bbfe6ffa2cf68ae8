# SPDX-License-Identifier: GPL-3.0-only
"""A server from its start to its first loaded model, as the pages show it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Start, Visit
from tests.support.http.served import Served

pytestmark = pytest.mark.browser


@pytest.fixture
def fresh(start: Start, rig_folder: Path) -> Served:
    """Return a server that has loaded nothing yet."""
    return start(rig_folder, "--default-model", "a.gguf")


def test_the_server_is_loading_before_the_first_generation_and_ready_after_it(
    visit: Visit, fresh: Served
) -> None:
    harness = visit(fresh)
    harness.witness.may_be_refused(503)
    harness.open("ready")
    expect(harness["ready-result"]).to_have_text("loading")
    assert fresh.get("/readyz").status_code == 503

    harness.go("infer")
    assert harness.generate("hello big world").strip() == "hello big world"

    harness.go("ready")
    expect(harness["ready-result"]).to_have_text("ready")
    assert fresh.get("/readyz").status_code == 200


def test_the_status_page_shows_what_the_first_generation_has_loaded(
    visit: Visit, fresh: Served
) -> None:
    harness = visit(fresh).open("infer")
    harness.generate("hello")
    harness.go("overview")
    expect(harness.of_model("instance-row", "a.gguf")).to_have_attribute("data-state", "ready")
    harness.go("status")
    expect(harness["status-json"]).to_contain_text("a.gguf")
    shown = json.loads(harness.text("status-json"))
    [instance] = shown["instances"]
    assert (instance["model_id"], instance["state"]) == ("a.gguf", "ready")
    assert instance["pid"] == fresh.instance("a.gguf")["pid"]


def test_as_many_models_are_listed_as_the_server_has(
    visit: Visit, fresh: Served, rig_folder: Path
) -> None:
    harness = visit(fresh).open("models")
    models = fresh.get("/models").json()["models"]
    expect(harness["models-count"]).to_have_text(f"{len(models)} models")
    expect(harness["models-table"].locator("tbody tr")).to_have_count(len(models))
    for model in models:
        expect(harness["models-table"]).to_contain_text(model["id"])


def test_the_pages_load_no_model(visit: Visit, fresh: Served) -> None:
    harness = visit(fresh).open()
    harness.witness.may_be_refused(503)
    for name in ("infer", "models", "status", "health", "ready", "overview"):
        harness.go(name)
    expect(harness.page.get_by_text("server: running")).to_be_visible()
    assert fresh.status()["loads_total"] == 0
