# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import time

from modeld.values import InstanceState, InstanceStatus, ServiceState, ServiceStatus
from tests.httpapi.fake_service import FakeService, ask, make_app

MIB = 1 << 20
READY = InstanceStatus(
    model_id="a.gguf",
    state=InstanceState.READY,
    last_used_unix=1700000000,
    held_bytes=2 * MIB + 1,
    queue_len=3,
    inflight=1,
    max_queue_depth=32,
    slots=4,
    pinned=True,
    pid=77,
    loads_total=2,
    prompt_tokens_total=30,
    completion_tokens_total=20,
    last_error="the worker ended",
    log_tail=("one", "two"),
)
EMPTY = {
    "last_used_unix": 0,
    "held_bytes": 0,
    "queue_len": 0,
    "inflight": 0,
    "max_queue_depth": 0,
    "slots": 1,
    "pinned": False,
}
BUSY = ServiceStatus(
    state=ServiceState.RUNNING,
    instances=(
        READY,
        InstanceStatus(model_id="b", state=InstanceState.LOADING, **EMPTY),  # type: ignore[arg-type]
        InstanceStatus(model_id="c", state=InstanceState.DRAINING, **EMPTY),  # type: ignore[arg-type]
    ),
    budget_bytes=100 * MIB,
    held_bytes=2 * MIB + 1,
    margin_bytes=10 * MIB,
    loads_total=5,
    evictions_total=4,
    uptime_s=1.5,
    spare_workers=1,
    error="the models folder is gone",
)


def status_of(snapshot: ServiceStatus) -> dict[str, object]:
    service = FakeService()
    service.snapshot = snapshot
    answer = ask(make_app(service), "GET", "/status")
    assert answer.status_code == 200
    document: dict[str, object] = answer.json()
    return document


def test_the_status_has_every_field_under_its_name() -> None:
    document = status_of(BUSY)
    now = document.pop("server_time_unix")
    assert isinstance(now, int)
    assert abs(now - time.time()) < 60
    instances = document.pop("instances")
    assert document == {
        "state": "running",
        "budget_mb": 100,
        "used_est_mb": 3,
        "margin_mb": 10,
        "error": "the models folder is gone",
        "loads_total": 5,
        "evictions_total": 4,
        "warmups_in_progress": 1,
        "draining_count": 1,
        "spare_workers": 1,
        "uptime_seconds": 1.5,
    }
    assert isinstance(instances, list)
    assert instances[0] == {
        "model_id": "a.gguf",
        "state": "ready",
        "last_used_unix": 1700000000,
        "est_vram_mb": 3,
        "queue_len": 3,
        "inflight": 1,
        "max_queue_depth": 32,
        "slots": 4,
        "pinned": True,
        "pid": 77,
        "loads_total": 2,
        "prompt_tokens_total": 30,
        "completion_tokens_total": 20,
        "last_error": "the worker ended",
        "log_tail": ["one", "two"],
    }


def test_no_error_and_no_limit_are_told_apart_from_an_error_and_a_limit() -> None:
    document = status_of(FakeService().snapshot)
    assert "error" not in document
    assert document["budget_mb"] == 0
    assert document["instances"] == []


def test_memory_is_rounded_up() -> None:
    for held_bytes, mib in ((0, 0), (1, 1), (MIB, 1), (MIB + 1, 2)):
        snapshot = ServiceStatus(
            state=ServiceState.RUNNING,
            instances=(),
            budget_bytes=None,
            held_bytes=held_bytes,
            margin_bytes=0,
            loads_total=0,
            evictions_total=0,
            uptime_s=0.0,
        )
        assert status_of(snapshot)["used_est_mb"] == mib
