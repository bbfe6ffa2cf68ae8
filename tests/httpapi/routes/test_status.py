# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import time
from urllib.parse import quote

import pytest
from msgspec.structs import replace

from modeld.status import (
    DeviceStatus,
    HostStatus,
    InstanceState,
    InstanceStatus,
    ServiceState,
    ServiceStatus,
)
from tests.support.http.fake_service import FakeService, ask, make_app

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
    expires_in_s=59.98765,
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
    session_bytes=MIB + 1,
    loads_total=5,
    evictions_total=4,
    uptime_s=1.5,
    budget_origin="auto: others use the rest",
    warm_workers=1,
    error="the models folder is gone",
    prompt_tokens_total=60,
    completion_tokens_total=50,
)


def status_of(snapshot: ServiceStatus) -> dict[str, object]:
    service = FakeService()
    service.snapshot = snapshot
    response = ask(make_app(service), "GET", "/status")
    assert response.status_code == 200
    document: dict[str, object] = response.json()
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
        "budget_origin": "auto: others use the rest",
        "held_mb": 3,
        "used_est_mb": 3,
        "margin_mb": 10,
        "sessions_mb": 2,
        "error": "the models folder is gone",
        "instances_total": 3,
        "loads_total": 5,
        "evictions_total": 4,
        "prompt_tokens_total": 60,
        "completion_tokens_total": 50,
        "warmups_in_progress": 1,
        "draining_count": 1,
        "warm_workers": 1,
        "uptime_seconds": 1.5,
    }
    assert isinstance(instances, list)
    assert instances[0] == {
        "model_id": "a.gguf",
        "state": "ready",
        "last_used_unix": 1700000000,
        "held_mb": 3,
        "est_vram_mb": 3,
        "queue_len": 3,
        "inflight": 1,
        "max_queue_depth": 32,
        "slots": 4,
        "pinned": True,
        "priority": 0,
        "expires_in_s": 59.988,
        "pid": 77,
        "loads_total": 2,
        "prompt_tokens_total": 30,
        "completion_tokens_total": 20,
        "last_error": "the worker ended",
        "log_tail": ["one", "two"],
    }


def many(count: int) -> FakeService:
    service = FakeService()
    names = [f"m{number:04}" for number in range(count)]
    instances = [
        InstanceStatus(model_id=name, state=InstanceState.READY, **EMPTY)  # type: ignore[arg-type]
        for name in reversed(names)
    ]
    service.snapshot = replace(service.snapshot, instances=tuple(instances))
    return service


def page(service: FakeService, query: str = "") -> tuple[list[str], int]:
    document = ask(make_app(service), "GET", f"/status{query}").json()
    names = [instance["model_id"] for instance in document["instances"]]
    return names, document["instances_total"]


def test_models_are_listed_by_their_ids_a_page_at_a_time() -> None:
    service = many(250)
    first, total = page(service)
    assert (len(first), first[0], first[-1], total) == (100, "m0000", "m0099", 250)
    assert page(service, "?limit=3&after=m0099")[0] == ["m0100", "m0101", "m0102"]
    assert page(service, "?limit=1000&after=m0247") == (["m0248", "m0249"], 250)
    assert page(service, "?after=m0249") == ([], 250)
    assert page(service, "?limit=0") == ([], 250)


def test_counts_are_those_of_all_pages() -> None:
    response = ask(make_app(many(250)), "GET", "/status?limit=1").json()
    assert response["warmups_in_progress"] == 0
    loading = FakeService()
    loading.snapshot = BUSY
    response = ask(make_app(loading), "GET", "/status?limit=1").json()
    assert (response["warmups_in_progress"], response["draining_count"]) == (1, 1)


@pytest.mark.parametrize(
    "limit", ["", "-1", "1001", "1e3", "ten", "1.5", "\u0663", "9" * 5000, " 5"]
)
def test_a_limit_that_is_none_is_refused_by_name(limit: str) -> None:
    response = ask(make_app(FakeService()), "GET", f"/status?limit={quote(limit)}")
    assert response.status_code == 400
    assert response.json()["field"] == "limit"
    assert response.json()["reason"] == "invalid_request"
    assert "from 0 to 1000" in response.json()["error"]


def test_no_error_and_no_limit_are_told_apart_from_an_error_and_a_limit() -> None:
    document = status_of(FakeService().snapshot)
    assert "error" not in document
    assert document["budget_mb"] == 0
    assert document["instances"] == []


def test_a_budget_of_which_nothing_is_left_is_told_apart_from_none() -> None:
    assert status_of(replace(BUSY, budget_bytes=0))["budget_mb"] == 1
    assert status_of(replace(BUSY, budget_bytes=None))["budget_mb"] == 0


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


def test_a_page_ends_with_all_that_hosts_have_of_its_last_model() -> None:
    service = FakeService()
    service.snapshot = replace(
        BUSY,
        instances=tuple(
            replace(READY, model_id=model, host=host, node="n")
            for model, host in (("a", "two"), ("b", "one"), ("a", "one"))
        ),
        hosts=(
            HostStatus(
                host="one",
                node="n",
                state=ServiceState.RUNNING,
                budget_bytes=100 * MIB,
                held_bytes=4 * MIB,
            ),
            HostStatus(
                host="two",
                node="n",
                state=ServiceState.RUNNING,
                budget_bytes=None,
                held_bytes=0,
                error="gone",
            ),
        ),
    )
    assert page(service, "?limit=1") == (["a", "a"], 3)
    assert page(service, "?limit=1&after=a") == (["b"], 3)
    document = ask(make_app(service), "GET", "/status").json()
    where = [(each["model_id"], each["host"], each["node"]) for each in document["instances"]]
    assert where == [("a", "one", "n"), ("a", "two", "n"), ("b", "one", "n")]
    assert document["hosts"] == [
        {"host": "one", "node": "n", "state": "running", "budget_mb": 100, "held_mb": 4},
        {
            "host": "two",
            "node": "n",
            "state": "running",
            "budget_mb": 0,
            "held_mb": 0,
            "error": "gone",
        },
    ]


def test_one_machine_has_no_hosts() -> None:
    document = ask(make_app(FakeService()), "GET", "/status").json()
    assert "hosts" not in document


def test_each_device_is_told_where_there_is_more_than_main_memory() -> None:
    main, gpu = (
        DeviceStatus(
            device=name,
            budget_bytes=size,
            held_bytes=MIB + 1,
            margin_bytes=MIB,
            budget_origin="as it was set",
        )
        for name, size in (("main", 100 * MIB), ("gpu0", None))
    )
    on_gpu = replace(READY, held_on_gpus={"gpu0": MIB + 1})
    assert "devices" not in status_of(replace(BUSY, devices=(main,)))
    document = status_of(replace(BUSY, instances=(on_gpu,), devices=(main, gpu)))
    told = {"budget_origin": "as it was set", "held_mb": 2, "margin_mb": 1}
    assert document["devices"] == [
        {"device": "main", "budget_mb": 100, **told},
        {"device": "gpu0", "budget_mb": 0, **told},
    ]
    (instance,) = document["instances"]  # type: ignore[misc]
    assert instance["held_on_gpus_mb"] == {"gpu0": 2}
