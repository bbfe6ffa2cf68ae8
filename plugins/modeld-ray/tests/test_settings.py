# SPDX-License-Identifier: GPL-3.0-only
"""Settings of a cluster, and of each of its hosts."""

from __future__ import annotations

import pytest
from modeld_ray.deploying.configuration import BUDGET_LABEL, settings_from, settings_on
from modeld_ray.settings import RaySettings

from modeld.errors import ConfigurationError


def test_a_document_has_the_form_of_the_settings_file():
    found = settings_from({"default_model": "x", "ray": {"hosts": 3, "window_ms": 0}})
    assert found.default_model == "x"
    assert found.of(RaySettings) == RaySettings(hosts=3, window_ms=0.0)


@pytest.mark.parametrize(
    ("document", "word"),
    [
        ({"ray": {"hosts": 0}}, "hosts"),
        ({"ray": {"hosts": 2, "most_hosts": 1}}, "most_hosts"),
        ({"ray": {"host": 1}}, "host"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_what_is_wrong_is_named(document, word):
    with pytest.raises(ConfigurationError, match=word):
        settings_from(document)


def test_a_nodes_label_is_the_budget_of_its_hosts():
    assert settings_on({}, {BUDGET_LABEL: "24000"}).memory_budget_mb == 24000
    assert settings_on({}, {}).memory_budget_mb == "auto"


def test_settings_and_variables_win_over_the_label(monkeypatch):
    assert settings_on({"memory_budget_mb": 1}, {BUDGET_LABEL: "2"}).memory_budget_mb == 1
    monkeypatch.setenv("MODELD_MEMORY_BUDGET_MB", "3")
    assert settings_on({}, {BUDGET_LABEL: "2"}).memory_budget_mb == 3


def test_a_label_that_is_no_number_is_refused():
    with pytest.raises(ConfigurationError, match="memory_budget_mb"):
        settings_on({}, {BUDGET_LABEL: "24 GB"})
