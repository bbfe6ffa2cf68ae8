# SPDX-License-Identifier: GPL-3.0-only
"""A backend's own sampling parameters, from the outside: fields, options, OpenAPI."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.http.served import RIG, Served


def test_a_parameter_of_the_backend_reaches_its_engine(server: Served) -> None:
    body = {"prompt": "one two", "stream": False, "rig_case": "upper", "rig_repeats": 2}
    assert server.post("/infer", body).json()["content"] == "ONE ONE TWO TWO "
    body = {"prompt": "one two", "stream": False, "rig_case": None}
    assert server.post("/infer", body).json()["content"] == "one two "


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("rig_repeats", 4, "less than or equal to 3, got 4"),
        ("rig_case", "title", "must be 'upper' or 'lower'"),
        ("rig_cas", "upper", "unknown field; did you mean 'rig_case'?"),
    ],
)
def test_what_it_does_not_take_is_refused_by_name(
    server: Served, field: str, value: object, words: str
) -> None:
    response = server.post("/infer", {"prompt": "one", field: value})
    assert (response.status_code, response.json()["field"]) == (400, field)
    assert words in response.json()["error"]


def test_another_backends_parameter_is_refused_by_name_and_loads_nothing(server: Served) -> None:
    """llama.cpp's are known to this server, and not to the rig's models."""
    loads = server.status()["loads_total"]
    response = server.post("/infer", {"model": "b.gguf", "prompt": "one", "mirostat": 1})
    assert (response.status_code, response.json()["field"]) == (400, "mirostat")
    assert "the model's backend has no such sampling parameter" in response.json()["error"]
    assert server.status()["loads_total"] == loads


def test_the_openapi_document_says_what_it_takes_and_whose_it_is(server: Served) -> None:
    schema = server.get("/openapi.json").json()["components"]["schemas"]["InferBody"]
    repeats = schema["properties"]["rig_repeats"]
    assert repeats["x-modeld-backends"] == ["rig"]
    assert repeats["description"] == "how often each word comes"
    assert repeats["anyOf"][0] == {
        "type": "integer", "format": "int64", "minimum": 1, "maximum": 3
    }  # fmt: skip
    assert schema["properties"]["mirostat"]["x-modeld-backends"] == ["llama-cpp"]


def modeld(*arguments: str) -> str:
    """Return what a command prints where the rig is installed."""
    environ = os.environ | {"PYTHONPATH": str(RIG), "COLUMNS": "100"}
    command = [sys.executable, "-m", "modeld", *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=True, env=environ
    )
    return done.stdout


def test_modeld_run_shows_it_in_its_help_and_takes_it(rig_models: Path) -> None:
    shown = modeld("run", "--help").partition("\nSampling by rig:\n")[2].partition("\n\n")[0]
    assert "--rig-case [lower|upper]" in shown
    assert "how often each word comes  [1<=x<=3]" in shown
    wish = ("--rig-case", "upper", "--rig-repeats", "2")
    said = modeld("run", "a.gguf", "one two", "--models-dir", str(rig_models), *wish)
    assert said.split() == ["ONE", "ONE", "TWO", "TWO"]
