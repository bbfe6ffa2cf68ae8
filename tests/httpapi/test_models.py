# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

from urllib.parse import quote

import pytest

from modeld.errors import ModelExceedsBudgetError
from modeld.values import ModelSpec
from tests.httpapi.fake_service import FakeService, ask, make_app

GOOD = ModelSpec(
    id="a.gguf",
    name="A",
    path="/models/a.gguf",
    family="llama",
    quant="Q4_K_M",
    size_bytes=5,
    context_length=2048,
)
BAD = ModelSpec(id="b.gguf", name="b", path="/models/b.gguf", problem="it is empty")
STRANGE = ["with space.gguf", "50%.gguf", "..gguf", "ünï.gguf", "a+b?c#d.gguf", "refresh", "%2e"]


def test_models_are_listed_with_the_fields_of_the_seed_and_their_problems() -> None:
    answer = ask(make_app(FakeService(models=[GOOD, BAD])), "GET", "/models")
    assert answer.json() == {
        "models": [
            {
                "id": "a.gguf",
                "name": "A",
                "path": "/models/a.gguf",
                "quant": "Q4_K_M",
                "family": "llama",
                "size_bytes": 5,
                "context_length": 2048,
            },
            {
                "id": "b.gguf",
                "name": "b",
                "path": "/models/b.gguf",
                "quant": "",
                "family": "",
                "size_bytes": 0,
                "problem": "it is empty",
            },
        ]
    }


def test_refreshing_looks_again_and_lists() -> None:
    service = FakeService(models=[GOOD])
    answer = ask(make_app(service), "POST", "/models/refresh")
    assert [m["id"] for m in answer.json()["models"]] == ["a.gguf"]
    assert "refresh" in service.calls


@pytest.mark.parametrize("model", ["a.gguf", *STRANGE])
@pytest.mark.parametrize(("verb", "state"), [("load", "ready"), ("unload", "absent")])
def test_a_model_is_loaded_and_unloaded_by_any_id(model: str, verb: str, state: str) -> None:
    service = FakeService(models=[ModelSpec(id=model, name="m", path="/m")])
    answer = ask(make_app(service), "POST", f"/models/{quote(model, safe='')}/{verb}")
    assert answer.status_code == 200
    assert answer.json() == {"model": model, "state": state}
    assert f"{verb} {model}" in service.calls


@pytest.mark.parametrize("verb", ["load", "unload"])
@pytest.mark.parametrize(
    "model",
    ["nope", "..%2f..%2fetc%2fpasswd", "a%2fb", "%2e%2e", "a%00b", "a%5cb", "C%3A", "a%0ab"],
)
def test_what_is_no_model_is_404(verb: str, model: str) -> None:
    answer = ask(make_app(FakeService(models=[GOOD])), "POST", f"/models/{model}/{verb}")
    assert answer.status_code == 404
    assert answer.json()["reason"] in {"model_not_found", "not_found"}


def test_a_model_that_cannot_be_loaded_says_why() -> None:
    class Full(FakeService):
        async def load(self, model: str) -> None:
            raise ModelExceedsBudgetError("needs 5 MiB, 4 are allowed", field="model")

    answer = ask(make_app(Full()), "POST", "/models/a.gguf/load")
    assert answer.status_code == 507
    assert answer.json()["reason"] == "model_exceeds_budget"


@pytest.mark.parametrize("model", ["a.gguf", *STRANGE])
@pytest.mark.parametrize(("verb", "pinned"), [("pin", True), ("unpin", False)])
def test_a_model_is_pinned_and_unpinned_by_any_id(model: str, verb: str, pinned: bool) -> None:
    spec = ModelSpec(id=model, name="A", path="/models/a.gguf")
    service = FakeService(models=[spec])

    answer = ask(make_app(service), "POST", f"/models/{quote(model, safe='')}/{verb}")

    assert answer.json() == {"model": model, "pinned": pinned}
    assert f"{verb} {model}" in service.calls


@pytest.mark.parametrize("verb", ["pin", "unpin"])
def test_an_unknown_model_can_be_neither_pinned_nor_unpinned(verb: str) -> None:
    answer = ask(make_app(FakeService()), "POST", f"/models/no.gguf/{verb}")
    assert (answer.status_code, answer.json()["reason"]) == (404, "model_not_found")
