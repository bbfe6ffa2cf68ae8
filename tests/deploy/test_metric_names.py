# SPDX-License-Identifier: GPL-3.0-only
"""The alerts and the dashboard ask for metrics and labels that a real server has."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from modeld.builtin.metrics import BACKPRESSURE, EXIT_CAUSES
from modeld.errors import error_codes
from modeld.status import EvictionReason
from tests.support.deploy.promql import grouped_by, selectors
from tests.support.deploy.running import started
from tests.support.gguf.tiny_gguf import write_gguf

DEPLOY = Path(__file__).parents[2] / "deploy"
ALERTS = DEPLOY / "prometheus" / "alerts.yaml"
DASHBOARD = DEPLOY / "grafana" / "modeld.json"
SCRAPERS = {"job", "instance"}
"""The labels that Prometheus adds to every metric."""

WORDS = {
    "modeld_http_backpressure_total": {*BACKPRESSURE},
    "modeld_requests_total": {"stop", "length", "answered", "cancelled", *error_codes()},
    "modeld_evictions_total": {reason.value for reason in EvictionReason},
    "modeld_worker_exits_total": {*EXIT_CAUSES, "other"},
}
"""What the label of a fixed set may be, for the metrics that have one besides the model."""


def alerts() -> Mapping[str, str]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def panels() -> Mapping[str, str]:
    dashboard = json.loads(DASHBOARD.read_text())
    return {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    }


def variables() -> Mapping[str, str]:
    dashboard = json.loads(DASHBOARD.read_text())
    listed = dashboard["templating"]["list"]
    return {each["name"]: each["definition"] for each in listed if each["type"] == "query"}


EXPRESSIONS = {**alerts(), **panels(), **variables()}


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, set[str]]]:
    """Yield the metrics of a server that has answered and has failed to load, with their labels."""
    folder = tmp_path_factory.mktemp("models")
    write_gguf(folder / "good.gguf", "rig")
    write_gguf(folder / "bad.gguf", "rig")
    options = json.dumps({"bad.gguf": {"load_fault": "raise"}})
    with started("--addr", ":0", "--models-dir", str(folder), "--models", options) as server:
        url = server.address()
        for model, status in (("good.gguf", 200), ("bad.gguf", 503)):
            response = httpx.post(f"{url}/infer", json={"model": model, "prompt": "x"}, timeout=60)
            assert response.status_code == status, response.text
        families = text_string_to_metric_families(httpx.get(f"{url}/metrics", timeout=60).text)
        found: dict[str, set[str]] = {"up": set()}
        for sample in (sample for family in families for sample in family.samples):
            found.setdefault(sample.name, set()).update(sample.labels)
        yield found


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_expression_asks_for_metrics_and_labels_that_there_are(
    metrics: Mapping[str, set[str]], name: str
) -> None:
    asked = [*selectors(EXPRESSIONS[name])]
    assert asked
    for selector in asked:
        assert selector.metric in metrics, selector.metric
        named = {matcher.label for matcher in selector.matchers}
        assert named <= metrics[selector.metric] | SCRAPERS
        assert grouped_by(EXPRESSIONS[name]) <= metrics[selector.metric] | SCRAPERS


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_expression_compares_with_words_that_modeld_uses(name: str) -> None:
    for selector in selectors(EXPRESSIONS[name]):
        for matcher in selector.matchers:
            if matcher.label in {"reason", "outcome", "cause"}:
                assert matcher.value in WORDS[selector.metric]
            elif matcher.label == "job":
                assert matcher.value in {"modeld", "$job"}


def test_every_metric_is_on_the_dashboard(metrics: Mapping[str, set[str]]) -> None:
    shown = {each.metric for text in panels().values() for each in selectors(text)}
    stems = {name.removesuffix("_bucket").removesuffix("_count") for name in shown}
    served = {
        name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum")
        for name in metrics
        if name.startswith("modeld_")
    }
    assert served - {stem.removesuffix("_sum") for stem in stems} == set()


@pytest.mark.parametrize("wrong", ["modeld_nothing", 'modeld_queue_length{reason="x"}'])
def test_a_wrong_expression_would_be_found(metrics: Mapping[str, set[str]], wrong: str) -> None:
    (selector,) = selectors(wrong)
    named = {matcher.label for matcher in selector.matchers}
    assert selector.metric not in metrics or not named <= metrics[selector.metric] | SCRAPERS
