# SPDX-License-Identifier: GPL-3.0-only
"""The Grafana dashboard is whole: what can be shown wrong without an error is checked here."""

from __future__ import annotations

import itertools
import json
from typing import Any

from tests.deploy.test_metric_names import DASHBOARD

COLUMNS = 24
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return loaded


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def test_ids_and_titles_are_unique() -> None:
    everything = dashboard()["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    assert len({panel["title"] for panel in everything}) == len(everything)


def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
    position = panel["gridPos"]
    columns = range(position["x"], position["x"] + position["w"])
    return set(itertools.product(columns, range(position["y"], position["y"] + position["h"])))


def test_no_panel_lies_over_another_or_beyond_the_edge() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        assert not cells(panel) & taken, panel["title"]
        assert max(column for column, _ in cells(panel)) < COLUMNS, panel["title"]
        taken |= cells(panel)
    rows = {row for _, row in taken}
    assert rows == set(range(max(rows) + 1))
    assert len(taken) == COLUMNS * len(rows)


def test_every_panel_has_a_unit_and_says_what_it_shows() -> None:
    assert len(panels()) > 20
    for panel in panels():
        assert panel["fieldConfig"]["defaults"]["unit"], panel["title"]
        assert panel["description"].endswith("."), panel["title"]


def test_every_panel_asks_the_chosen_data_source() -> None:
    for panel in panels():
        assert panel["datasource"] == SOURCE, panel["title"]
        assert [target["datasource"] for target in panel["targets"]] == [SOURCE] * len(
            panel["targets"]
        )


def test_what_has_a_model_is_chosen_by_the_model() -> None:
    variables = [each["name"] for each in dashboard()["templating"]["list"]]
    assert variables == ["datasource", "job", "instance", "model"]
    for panel in panels():
        for target in panel["targets"]:
            if "{{model}}" in target["legendFormat"]:
                assert 'model=~"$model"' in target["expr"], panel["title"]


def test_nothing_of_a_single_grafana_is_in_it() -> None:
    assert "id" not in dashboard()
    assert dashboard()["uid"] == "modeld"
    assert dashboard()["schemaVersion"] >= 39
