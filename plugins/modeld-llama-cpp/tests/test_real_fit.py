# SPDX-License-Identifier: GPL-3.0-only
"""A real model that can never fit as configured answers with less, and says what it gave up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.http.served import Served, serving

pytestmark = pytest.mark.model

MODEL = "SmolLM2-135M-Instruct.Q4_1.gguf"
BUDGET = ("--memory-budget-mb", "160")
ASKED = {
    "model": MODEL,
    "prompt": "The capital of France is",
    "max_tokens": 3,
    "temperature": 0,
    "stream": False,
}


@pytest.fixture(scope="module")
def served(real_models: Path) -> Iterator[Served]:
    with serving(real_models, *BUDGET, "--share-machine") as server:
        yield server


def planned(served: Served) -> dict[str, Any]:
    (plan,) = served.post("/plan", {"models": [MODEL]}).json()["plans"]
    assert isinstance(plan, dict)
    return plan


def test_it_is_planned_for_and_answers_with_a_smaller_context(served: Served) -> None:
    plan = planned(served)
    assert plan["outcome"] == "loads"
    assert plan["needed_mb"] <= 160 < plan["fit"]["full_mb"]
    options = plan["fit"]["options"]
    assert (options["cache_tokens"], options["cache_type_k"]) == (0, "q8_0")
    assert 1024 < options["context"] < 4096

    response = served.post("/infer", ASKED)
    assert "Paris" in response.json()["content"]
    assert response.headers["x-modeld-fit"] == response.json()["usage"]["fit"] == "context"
    assert response.headers["x-modeld-placement"] == "loads"
    assert float(response.headers["x-modeld-load-s"]) > 0

    (instance,) = served.get("/status").json()["instances"]
    assert instance["fit"] == plan["fit"]
    assert instance["held_mb"] <= 160
    again = served.post("/infer", ASKED)
    assert again.headers["x-modeld-placement"] == "resident"
    assert again.headers["x-modeld-fit"] == "context"


def test_the_context_is_as_large_as_it_says(served: Served) -> None:
    served.post("/infer", ASKED)
    (instance,) = served.get("/status").json()["instances"]
    tokens = instance["fit"]["options"]["context"]
    refused = served.post("/infer", ASKED | {"prompt": "word " * (tokens + 1)})
    assert refused.json()["reason"] == "prompt_too_long"
    assert f"{tokens}" in refused.json()["error"]


def test_a_request_that_forbids_it_is_refused(served: Served) -> None:
    refused = served.post("/infer", ASKED | {"fit": False})
    assert refused.json()["reason"] == "model_exceeds_budget"
    assert refused.json()["field"] == "fit"
    assert served.post("/v1/completions", ASKED | {"fit": False}).status_code == 507


@pytest.mark.parametrize(
    "forbidding", [("--no-fit",), ("--models", json.dumps({MODEL: {"fit": False}}))]
)
def test_where_it_is_off_the_model_is_refused(
    real_models: Path, forbidding: tuple[str, ...]
) -> None:
    with serving(real_models, *BUDGET, "--share-machine", *forbidding) as server:
        assert planned(server)["outcome"] == "never"
        assert server.post("/infer", ASKED).json()["reason"] == "model_exceeds_budget"


def test_what_is_set_stays(real_models: Path) -> None:
    rows = {MODEL: {"context": 4096, "cache_type_k": "f16"}}
    options = ("--models", json.dumps(rows))
    with serving(real_models, *BUDGET, "--share-machine", *options) as server:
        said = planned(server)
        assert said["outcome"] == "never"
        assert "with less (no prefix cache in place of one of 4096) it would" in said["message"]
