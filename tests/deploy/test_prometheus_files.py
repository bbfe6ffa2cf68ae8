# SPDX-License-Identifier: GPL-3.0-only
"""Prometheus understands the scrape configuration, the alerts and the dashboard's expressions."""

from __future__ import annotations

import re
import socket
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.deploy.test_metric_names import ALERTS, alerts, panels
from tests.support.deploy.programs import program, run
from tests.support.deploy.running import started, wait_until

FOLDER = ALERTS.parent
TESTS = FOLDER / "alerts.test.yaml"
SEVERITIES = {"critical", "warning", "info"}


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_every_alert_says_what_happened_and_what_to_do() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in SEVERITIES, rule["alert"]
        assert set(rule["annotations"]) == {"summary", "description"}, rule["alert"]


def test_every_alert_is_shown_firing_and_not_firing() -> None:
    shown: dict[str, set[bool]] = {}
    for case in yaml.safe_load(TESTS.read_text())["tests"]:
        for check in case["alert_rule_test"]:
            shown.setdefault(check["alertname"], set()).add(bool(check["exp_alerts"]))
    assert shown == {name: {True, False} for name in alerts()}


def test_the_scraped_job_is_the_one_that_alerts_select() -> None:
    config = yaml.safe_load((FOLDER / "prometheus.yaml").read_text())
    assert [job["job_name"] for job in config["scrape_configs"]] == ["modeld"]
    assert config["rule_files"] == [ALERTS.name]


@pytest.mark.debian
def test_prometheus_can_be_started_with_the_configuration() -> None:
    promtool = program("promtool", "prometheus")
    code, said = run(promtool, "check", "config", FOLDER / "prometheus.yaml")
    assert code == 0, said
    assert f"{len(rules())} rules found" in said


@pytest.mark.debian
def test_the_alerts_fire_when_they_should_and_only_then() -> None:
    code, said = run(program("promtool", "prometheus"), "test", "rules", TESTS)
    assert code == 0, said


@pytest.mark.debian
def test_prometheus_understands_every_expression_of_the_dashboard(tmp_path: Path) -> None:
    recorded = []
    for number, text in enumerate(panels().values()):
        plain = text.replace("$__rate_interval", "5m")
        recorded.append({"record": f"panel:{number}", "expr": re.sub(r"\$\w+", "x", plain)})
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": recorded}]}))
    code, said = run(program("promtool", "prometheus"), "check", "rules", file)
    assert code == 0, said


@pytest.mark.debian
def test_prometheus_scrapes_a_server_that_asks_for_a_key(tmp_path: Path) -> None:
    prometheus = program("prometheus", "prometheus")
    (tmp_path / "key").write_text("of-the-scraper")
    (tmp_path / "keys").write_text("of-others\nof-the-scraper\n")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = "{}:{}".format(*free.getsockname())
    with started("--addr", ":0", "--api-key-file", str(tmp_path / "keys")) as server:
        text = with_key((FOLDER / "prometheus.yaml").read_text(), tmp_path / "key")
        text = text.replace("127.0.0.1:8080", server.address().removeprefix("http://"))
        (tmp_path / "prometheus.yaml").write_text(text.replace("15s", "1s"))
        (tmp_path / "alerts.yaml").write_text(ALERTS.read_text())
        command = [prometheus, f"--web.listen-address={address}", f"--storage.tsdb.path={tmp_path}"]
        with subprocess.Popen(
            [*command, f"--config.file={tmp_path}/prometheus.yaml"], stderr=subprocess.DEVNULL
        ) as process:
            try:
                wait_until(lambda: bool(scraped(address, "modeld_uptime_seconds")), "a scrape")
                assert scraped(address, 'up{job="modeld"} == 1')
                assert not scraped(address, 'ALERTS{alertstate="firing"}')
            finally:
                process.terminate()


def with_key(config: str, key: Path) -> str:
    """Return the scrape configuration with the lines on the key uncommented."""
    uncommented = re.sub(r"# (authorization:|  credentials_file:)", r"\1", config)
    return uncommented.replace("/etc/prometheus/modeld-key", str(key))


def scraped(address: str, query: str) -> list[object]:
    """Return what Prometheus answers to a query; nothing while it starts."""
    try:
        response = httpx.get(f"http://{address}/api/v1/query", params={"query": query})
    except httpx.TransportError:
        return []
    found: list[object] = response.json()["data"]["result"] if response.is_success else []
    return found
