# SPDX-License-Identifier: GPL-3.0-only
"""Settings of a cluster, and of each of its hosts."""

from __future__ import annotations

import json

import pytest
from modeld_ray.deploying.configuration import (
    BUDGET_LABEL,
    settings_from,
    settings_on,
    settings_to_begin_with,
)
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


def test_who_starts_later_goes_by_the_file_of_its_machine(tmp_path):
    path = tmp_path / "cluster.json"
    document = {"max_queue_depth": 3, "ray": {"settings_file": str(path)}}
    path.write_text(json.dumps({**document, "max_queue_depth": 4}))
    found, read = settings_to_begin_with(document, {BUDGET_LABEL: "900"})
    assert (found.max_queue_depth, found.memory_budget_mb) == (4, 900)
    path.write_text(json.dumps({**document, "max_queue_depth": 5}))
    assert read is not None
    assert read().max_queue_depth == 5


@pytest.mark.parametrize("content", [None, "{", '{"nonsense": 1}'])
def test_a_file_that_cannot_be_used_keeps_no_host_from_starting(tmp_path, content, caplog):
    path = tmp_path / "cluster.json"
    if content is not None:
        path.write_text(content)
    document = {"max_queue_depth": 3, "ray": {"settings_file": str(path)}}
    found, read = settings_to_begin_with(document)
    assert found.max_queue_depth == 3
    assert "as they were deployed" in caplog.text
    assert read is not None
    with pytest.raises(ConfigurationError):
        read()


def test_without_a_file_nothing_is_read_again():
    found, read = settings_to_begin_with({"max_queue_depth": 3})
    assert found.max_queue_depth == 3
    assert read is None
