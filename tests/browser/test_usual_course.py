# SPDX-License-Identifier: GPL-3.0-only
"""A prompt typed and sent, and its generation: in mock mode, and with a real model."""

from __future__ import annotations

import json
import os

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.support.browser.harness import ANSWERED_MS, Harness, Mode
from tests.support.browser.sites import Site

BOTH_MODES = pytest.mark.parametrize(
    "mode", ["mock", pytest.param("live", marks=pytest.mark.model)]
)
PROMPT = "The capital of France is"
pytestmark = [pytest.mark.browser, BOTH_MODES]


def longest_ms(mode: Mode) -> float:
    usual = {"mock": 5000.0, "live": ANSWERED_MS}[mode]
    return float(os.environ.get("MODELD_BROWSER_MAX_LATENCY_MS") or usual)


def smallest_model(site: Site) -> str:
    """Return the model that is loaded fastest; whoever runs these tests may have any."""
    models = [each for each in site.get("/models").json()["models"] if "problem" not in each]
    smallest: str = min(models, key=lambda each: each["size_bytes"])["id"]
    return smallest


@pytest.fixture
def generated(visit: Visit, site: Site, mode: Mode) -> Harness:
    """Return the page after one generation; each state on the way was noted."""
    harness = visit(site, mode=mode).open("infer")
    harness.set("max_tokens", "24")
    harness.watch_status()
    harness.generate(PROMPT)
    return harness


def test_a_generation_comes_line_by_line_and_its_last_line_says_that_it_is_done(
    generated: Harness, mode: Mode
) -> None:
    assert generated.statuses() == ["idle", "requesting", "success"]

    *tokens, done = generated.log_lines()
    assert tokens
    assert done["done"] is True
    assert "".join(line["token"] for line in tokens) == done["content"]
    assert generated["generation"].inner_text().strip() == done["content"].strip()
    assert json.loads(generated.text("result-json")) == done

    assert 0 < generated.milliseconds("first-token-ms") <= generated.milliseconds("latency-ms")
    assert generated.milliseconds("latency-ms") < longest_ms(mode)
    assert float(generated.text("tokens-per-second").split()[0]) > 0


def test_a_model_can_be_named(visit: Visit, site: Site, mode: Mode) -> None:
    harness = visit(site, mode=mode).open("infer")
    options = harness.page.locator("#model-ids option")
    expect(options.first).to_be_attached()
    offered = options.evaluate_all("all => all.map(each => each.value)")
    model = offered[0] if mode == "mock" else smallest_model(site)
    assert model in offered
    harness.set("max_tokens", "2")
    harness.generate(PROMPT, model)
    harness.go("status")
    expect(harness["status-json"]).to_contain_text(model)
    shown = json.loads(harness.text("status-json"))
    assert model in [each["model_id"] for each in shown["instances"] if each["state"] == "ready"]


def test_an_unknown_model_is_an_error_with_text_and_reason(
    visit: Visit, site: Site, mode: Mode
) -> None:
    harness = visit(site, mode=mode).open("infer")
    harness.witness.may_be_refused(404)
    harness.watch_status()
    harness.ask(PROMPT, "no-such-model")
    harness.wait_for_status("error")

    assert harness.statuses() == ["idle", "requesting", "error"]
    expect(harness["error-text"]).to_contain_text("no-such-model")
    expect(harness.page.get_by_role("alert")).to_contain_text("404 model_not_found")
    refusal = json.loads(harness.text("result-json"))
    assert (refusal["code"], refusal["reason"]) == (404, "model_not_found")


def test_a_generation_without_a_stream_is_one_line(visit: Visit, site: Site, mode: Mode) -> None:
    harness = visit(site, mode=mode).open("infer")
    harness.set("max_tokens", "4")
    harness["stream-input"].uncheck()
    harness.generate(PROMPT)
    [line] = harness.log_lines()
    assert line["content"].strip() == harness["generation"].inner_text().strip()
    assert json.loads(harness.text("result-json")) == line


def test_the_probes_and_the_models_are_shown(generated: Harness) -> None:
    generated.go("health")
    expect(generated["health-result"]).to_have_text("ok")
    generated.go("ready")
    expect(generated["ready-result"]).to_have_text("ready")
    generated.go("models")
    expect(generated["models-table"]).to_be_visible()
    count = int(generated.text("models-count").split()[0])
    assert generated["models-table"].locator("tbody tr").count() == count
