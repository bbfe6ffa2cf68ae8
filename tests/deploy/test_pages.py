# SPDX-License-Identifier: GPL-3.0-only
"""The pages on deployment say what the files in `deploy` do."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml

from modeld.httpapi.server.run import CLOSE_S
from modeld.httpapi.server.server import KEEP_ALIVE_S
from modeld.settings import Settings
from tests.deploy.test_metric_names import ALERTS, DASHBOARD
from tests.support.deploy.programs import program, run
from tests.support.deploy.units import DROP_INS, SYSTEMD
from tests.support.docs.pages import ROOT, read, rows, section

PAGES = [
    f"how-to/{name}.md"
    for name in (
        *("deployment", "systemd", "docker", "kubernetes"),
        *("nginx", "prometheus-and-grafana"),
    )
]


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_names_is_there(page: str) -> None:
    named = set(re.findall(r"(?<!tests/)\bdeploy/[\w./-]*\w", read(page)))
    assert named or page.endswith("deployment.md")
    made_by_the_reader = {"deploy/docker/api-keys"}
    for path in named - made_by_the_reader:
        assert (ROOT / path).exists(), path


def test_every_folder_of_files_has_its_row_on_the_first_page() -> None:
    page = section("how-to/deployment.md", "What was tested, and what was not")
    folders = {f"`deploy/{folder.name}`" for folder in (ROOT / "deploy").iterdir()}
    assert {row[0] for row in rows(page)} - {"file"} == folders


def test_the_first_page_leads_to_all_others() -> None:
    text = read("how-to/deployment.md")
    for page in PAGES[1:]:
        assert f"({Path(page).name})" in text


def test_every_drop_in_is_on_the_page() -> None:
    page = section("how-to/systemd.md", "Add what you need")
    assert [row[0].strip("`") for row in rows(page)][1:] == DROP_INS


def test_the_directives_on_the_page_are_those_of_the_unit() -> None:
    unit = (SYSTEMD / "modeld.service").read_text()
    for row in rows(section("how-to/systemd.md", "What the unit does"))[1:]:
        for directive in re.findall(r"`(\w+(?:=[^`]+)?)`", row[0]):
            assert re.search(rf"^{re.escape(directive)}\b", unit, re.MULTILINE), directive


@pytest.mark.debian
def test_the_exposure_on_the_page_is_the_one_that_systemd_finds(tmp_path: Path) -> None:
    analyze = program("systemd-analyze", "systemd")
    listed = rows(section("how-to/systemd.md", "What the unit does"))
    measured = [row for row in listed if re.fullmatch(r"\d\.\d", row[1])]
    assert len(measured) == 4
    for number, (which, exposure) in enumerate(measured):
        folder = tmp_path / str(number)
        drop_ins = folder / "modeld.service.d"
        drop_ins.mkdir(parents=True)
        unit = (SYSTEMD / "modeld.service").read_text()
        (folder / "modeld.service").write_text(
            unit.replace("/opt/modeld/bin/modeld", sys.executable)
        )
        for name in re.findall(r"`([\w-]+\.conf)`", which):
            shutil.copy(SYSTEMD / name, drop_ins)
        _, said = run(
            *(analyze, "security", "--offline=true", "--no-pager", folder / "modeld.service")
        )
        assert f"exposure level for modeld.service: {exposure} " in said, which


def test_every_alert_is_on_the_page_with_its_severity() -> None:
    rules = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
    listed = rows(section("how-to/prometheus-and-grafana.md", "Alerts"))[1:]
    expected = [(f"`{rule['alert']}`", rule["labels"]["severity"]) for rule in rules]
    assert [(row[0], row[1]) for row in listed] == expected


def test_every_row_of_the_dashboard_is_on_the_page() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    titles = [panel["title"] for panel in dashboard["panels"] if panel["type"] == "row"]
    listed = rows(section("how-to/prometheus-and-grafana.md", "Dashboard"))[1:]
    assert [row[0] for row in listed] == titles


def test_the_times_on_the_pages_are_those_of_the_server() -> None:
    settings = Settings()
    assert settings.drain_timeout_s == 2
    assert settings.max_wait_s == 120
    assert settings.load_timeout_s == 120
    assert KEEP_ALIVE_S == 5
    assert 3 * CLOSE_S == 30
    assert "`drain_timeout_s` (30 s in their files, 2 s by default)" in read("how-to/deployment.md")


def test_the_directives_on_the_page_are_those_of_nginx() -> None:
    files = "".join(path.read_text() for path in (ROOT / "deploy" / "nginx").iterdir())
    for row in rows(section("how-to/nginx.md", "What the files do"))[1:]:
        for directive in re.findall(r"`([^`]+)`", row[0]):
            words = directive.split(" ")
            if "$" in directive and words[0].startswith("X-"):
                words = ["proxy_set_header", *words]
            if directive != "upstream":
                assert " ".join(words) in files, directive
