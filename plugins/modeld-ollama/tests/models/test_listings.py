# SPDX-License-Identifier: GPL-3.0-only
"""The lists of models and what is shown of one; nothing of this loads a model."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from modeld_ollama.models.details import digest_of
from msgspec.structs import replace
from ollama_calls import SHOW, said

from modeld.status import InstanceState, InstanceStatus
from modeld.values import FileStamp, ModelSpec
from tests.support.http.fake_service import FakeService, ask, make_app

STAMP = FileStamp(device=1, inode=2, size_bytes=3, mtime_ns=1_700_000_000_123_456_789)
A = ModelSpec(
    id="A-Q4_0.gguf",
    name="a",
    path="/models/A-Q4_0.gguf",
    family="llama",
    quant="Q4_0",
    size_bytes=7,
    stamp=STAMP,
    capabilities=("chat", "embed", "reasoning", "text", "tools", "vision"),
    context=4096,
    metadata={
        "general.name": "a",
        "general.license": "mit",
        "general.size_label": "135M",
        "llama.block_count": 30,
        "short": [1, 2],
        "long": [1, 2, 3, 4, 5, 6],
    },
)
PLAIN = ModelSpec(id="plain", name="p", path="/p", format="onnx")
BROKEN = ModelSpec(id="broken", name="x", path="/x", problem="it is no GGUF file")
MODELS = (A, PLAIN, BROKEN)
DETAILS = {
    "parent_model": "",
    "format": "gguf",
    "family": "llama",
    "families": ["llama"],
    "parameter_size": "135M",
    "quantization_level": "Q4_0",
}
BARE = {
    "parent_model": "",
    "format": "onnx",
    "family": "",
    "families": [],
    "parameter_size": "",
    "quantization_level": "",
}
CAPABILITIES = ["completion", "tools", "thinking", "vision", "embedding"]
CHANGED = "2023-11-14T22:13:20.123456Z"


def answered(service: FakeService, method: str, path: str, **request: Any) -> httpx.Response:
    response = ask(make_app(service), method, path, **request)
    assert set(service.calls) <= {"start", "aclose"}
    assert not service.requests
    return response


def show(**body: Any) -> httpx.Response:
    return answered(FakeService(models=MODELS), "POST", SHOW, json=body)


def test_models_that_can_be_used_are_listed():
    assert answered(FakeService(models=MODELS), "GET", "/api/tags").json() == {
        "models": [
            {
                "name": A.id,
                "model": A.id,
                "modified_at": CHANGED,
                "size": 7,
                "digest": digest_of(A),
                "details": DETAILS,
                "capabilities": CAPABILITIES,
            },
            {
                "name": "plain",
                "model": "plain",
                "modified_at": "1970-01-01T00:00:00.000000Z",
                "size": 0,
                "digest": digest_of(PLAIN),
                "details": BARE,
                "capabilities": [],
            },
        ]
    }


def test_a_digest_is_the_same_as_long_as_the_file_is():
    assert len(bytes.fromhex(digest_of(A))) == 32
    assert digest_of(A) == digest_of(replace(A, name="b", capabilities=()))
    others = [replace(A, stamp=replace(STAMP, mtime_ns=1)), replace(A, id="b"), PLAIN]
    assert len({digest_of(each) for each in [A, *others]}) == 4


def test_only_the_head_may_be_asked_for():
    for path in ("/api/tags", "/api/version", "/api/ps"):
        response = answered(FakeService(models=MODELS), "HEAD", path)
        assert (response.status_code, response.content) == (200, b"")


def instance(model: str, state: InstanceState, **members: Any) -> InstanceStatus:
    return InstanceStatus(
        model_id=model,
        state=state,
        last_used_unix=0,
        held_bytes=5,
        queue_len=0,
        inflight=0,
        max_queue_depth=1,
        slots=1,
        **members,
    )


def running(*instances: InstanceStatus) -> list[dict[str, Any]]:
    service = FakeService(models=MODELS)
    service.snapshot = replace(service.snapshot, instances=instances)
    models: list[dict[str, Any]] = answered(service, "GET", "/api/ps").json()["models"]
    return models


def in_seconds(model: dict[str, Any]) -> float:
    expires = datetime.fromisoformat(model["expires_at"])
    return (expires - datetime.now(UTC)).total_seconds()


def in_years(model: dict[str, Any]) -> int:
    """Return how many years are left until a model leaves memory."""
    expires = datetime.fromisoformat(model.pop("expires_at"))
    return expires.year - datetime.now(UTC).year


def test_models_in_memory_are_listed():
    first, gone = running(
        instance(A.id, InstanceState.READY),
        instance("plain", InstanceState.LOADING),
        instance("plain", InstanceState.FAILED),
        instance("gone", InstanceState.DRAINING),
    )
    assert in_years(first) > 250
    assert first == {
        "name": A.id,
        "model": A.id,
        "digest": digest_of(A),
        "details": DETAILS,
        "size": 5,
        "size_vram": 0,
        "context_length": 4096,
    }
    assert gone["name"] == "gone"
    assert gone["details"] == {**BARE, "format": ""}
    assert "context_length" not in gone
    assert running() == []


def test_it_is_told_when_a_model_leaves_memory():
    (found,) = running(instance(A.id, InstanceState.READY, expires_in_s=1e6))
    assert in_seconds(found) == pytest.approx(1e6, rel=1e-3)


def test_a_model_is_shown():
    document = show(model="a:q4_0").json()
    assert document == {
        "license": "mit",
        "modelfile": "FROM /models/A-Q4_0.gguf\n",
        "parameters": "num_ctx                        4096",
        "details": DETAILS,
        "model_info": {
            "general.license": "mit",
            "general.size_label": "135M",
            "llama.block_count": 30,
            "short": [1, 2],
            "long": [],
        },
        "capabilities": CAPABILITIES,
        "modified_at": CHANGED,
    }


def test_long_arrays_are_shown_where_they_are_wanted():
    assert show(model=A.id, verbose=True).json()["model_info"]["long"] == [1, 2, 3, 4, 5, 6]


def test_the_older_name_of_the_field_is_taken_and_what_says_nothing():
    told = show(name="plain", model="", system="", template="", options={}, verbose=False).json()
    assert told["details"] == BARE
    assert not told.keys() & {"license", "parameters"}


def test_what_cannot_be_shown_says_why():
    missing = show(model="none")
    assert (missing.status_code, said(missing)) == (404, "model 'none' not found")
    broken = show(model="broken")
    assert (broken.status_code, "it is no GGUF file" in said(broken)) == (422, True)
    unnamed = show()
    assert (unnamed.status_code, said(unnamed)) == (400, "model: must be given")


def test_the_default_model_is_shown_where_none_is_named():
    service = FakeService(models=MODELS)
    service.default = A.id
    assert answered(service, "POST", SHOW, json={}).json()["details"] == DETAILS
