# SPDX-License-Identifier: GPL-3.0-only
"""``modeld plan``: with the settings alone, and with a server that runs."""

from __future__ import annotations

import json

import pytest

from modeld.cli.main import ExitCode, main

PLAN = {"model": "a", "outcome": "evicts", "needed_mb": 9, "short_mb": 3, "evicts": ["b", "c"]}


def test_a_model_is_planned_for_with_nothing_loaded(rig, models, capsys):
    assert main(["plan", "tiny.gguf", "--models-dir", str(models)]) == ExitCode.OK
    header, row = capsys.readouterr().out.splitlines()
    assert header.split() == [
        "MODEL",
        "OUTCOME",
        "NEEDS",
        "SHORT",
        "WAIT",
        "EVICTS;",
        "WITH",
        "LESS;",
        "WHY",
    ]
    assert row.split()[:2] == ["tiny.gguf", "loads"]


def test_a_model_that_can_never_fit_has_the_numbers_and_a_code(rig, models, capsys):
    budget = ["--memory-budget-mb", "2"]
    code = main(["plan", "tiny.gguf", "--json", "--models-dir", str(models), *budget])
    (row,) = json.loads(capsys.readouterr().out)
    assert (code, row["outcome"]) == (ExitCode.FAILED, "never")
    assert row["reason"] == "model_exceeds_budget"
    assert row["short_mb"] == row["needed_mb"] - 2


def test_nothing_is_loaded_for_a_plan_whatever_the_settings_preload(rig, models, capsys):
    rows = json.dumps({"*": {"preload": True}})
    arguments = ["--models-dir", str(models), "--preload", "tiny.gguf", "--models", rows]
    assert main(["plan", "tiny.gguf", *arguments]) == ExitCode.OK
    assert capsys.readouterr().out.splitlines()[1].split()[:2] == ["tiny.gguf", "loads"]


def test_a_model_that_is_not_there_is_told(rig, models, capsys):
    assert main(["plan", "tiny.guf", "--models-dir", str(models)]) == ExitCode.FAILED
    assert "did you mean 'tiny.gguf'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("outcome", "code"), [("evicts", ExitCode.OK), ("refused", ExitCode.FAILED)]
)
def test_a_server_that_runs_is_asked(server, tmp_path, capsys, outcome, code):
    keys = tmp_path / "keys"
    keys.write_text("secret\n")
    server.response = 200, json.dumps({"plans": [PLAN | {"outcome": outcome}]}).encode()
    arguments = ["a", "--server", server.url, "--api-key-file", str(keys)]
    assert main(["plan", *arguments]) == code
    assert server.asked == [("/plan", "Bearer secret", b'{"models":["a"]}')]
    assert capsys.readouterr().out.splitlines()[1].split() == [
        *("a", outcome, "9", "MiB", "3", "MiB", "-", "b,", "c")
    ]


def test_what_is_no_plan_is_told(server, capsys):
    assert main(["plan", "a", "--server", server.url]) == ExitCode.FAILED
    assert "has not said its plan" in capsys.readouterr().err
