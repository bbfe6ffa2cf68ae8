# SPDX-License-Identifier: GPL-3.0-only
"""Any number in any numeric field of a request is taken or refused, and the worker lives on."""

from __future__ import annotations

import pytest

from tests.support.gguf.real_models import SMOLLM2, models_folder
from tests.support.http.served import Served, serving

NUMBERS = (0, -1, 1, 0.5, 2**31 - 1, 2**31, 2**63, 2**64, -(2**64), 1e300, -1e300, 1e-300)


def numeric_fields(served: Served) -> list[str]:
    """Return the fields of a request for text that are numbers, as the server describes itself."""
    schema = served.get("/openapi.json").json()["components"]["schemas"]["InferBody"]
    return [
        name
        for name, field in schema["properties"].items()
        if {each.get("type") for each in field.get("anyOf", ())} & {"number", "integer"}
    ]


def try_all(served: Served, model: str) -> None:
    """Send every number in every field and in one bias, and see that the worker stays the same."""
    assert served.post("/infer", {"prompt": "x", "max_tokens": 1}).status_code == 200
    pid = served.instance(model)["pid"]
    names = numeric_fields(served)
    assert len(names) > 20
    for name in [*names, "logit_bias"]:
        for number in NUMBERS:
            value = {"5": number} if name == "logit_bias" else number
            response = served.post("/infer", {"prompt": "x", "max_tokens": 1, name: value})
            allowed = {200, 400, 504} if name == "timeout_s" else {200, 400}
            assert response.status_code in allowed, (name, number, response.text)
    assert served.instance(model)["pid"] == pid


def test_no_number_in_any_field_hurts_a_worker(server: Served) -> None:
    try_all(server, "a.gguf")


@pytest.mark.model
@pytest.mark.slow
def test_no_number_in_any_field_hurts_llama_cpp() -> None:
    options = '{"*": {"context": 512, "threads": 1}}'
    with serving(models_folder(), "--default-model", SMOLLM2, "--models", options) as served:
        try_all(served, SMOLLM2)
