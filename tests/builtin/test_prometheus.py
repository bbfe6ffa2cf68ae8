# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
import gc
import random
import shutil
import subprocess
from collections.abc import Mapping

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_text
from starlette.applications import Starlette

from modeld.builtin.metrics import BACKPRESSURE, EXIT_CAUSES, GAPS_S, BulkHistogram
from modeld.builtin.prometheus import PrometheusPlugin
from modeld.errors import BackendUnavailableError, ModeldError
from modeld.events import (
    Event,
    HttpRequestFinished,
    HttpRequestStarted,
    LoopLag,
    ModelEvicted,
    ModelLoaded,
    ModelLoadFailed,
    ModelLoading,
    ModelLoadProgress,
    RequestFinished,
    RequestRefused,
    RequestStarted,
    WorkerExited,
)
from modeld.status import EvictionReason, InstanceState, InstanceStatus, ServiceState, ServiceStatus

STATUS = ServiceStatus(
    state=ServiceState.RUNNING,
    instances=(
        InstanceStatus(
            model_id="a.gguf",
            state=InstanceState.READY,
            last_used_unix=0,
            held_bytes=300,
            queue_len=2,
            inflight=1,
            max_queue_depth=32,
            slots=4,
        ),
    ),
    budget_bytes=1000,
    held_bytes=300,
    margin_bytes=100,
    session_bytes=70,
    loads_total=1,
    evictions_total=0,
    uptime_s=12.5,
    warm_workers=1,
)
FINISHED = RequestFinished(
    request_id="1",
    model="a.gguf",
    outcome="stop",
    seconds=2.0,
    first_token_s=0.3,
    prompt_tokens=5,
    completion_tokens=4,
    gaps_s=(0.02, 0.03, 0.07),
)
EVENTS: tuple[Event, ...] = (
    HttpRequestStarted(route="/infer", method="POST"),
    HttpRequestStarted(route="/infer", method="POST"),
    HttpRequestFinished(route="/infer", method="POST", status=200, seconds=2.0),
    ModelLoading(model="a.gguf"),
    ModelLoadProgress(model="a.gguf", fraction=0.5),
    ModelLoaded(model="a.gguf", seconds=0.4, held_bytes=300, estimated_bytes=280),
    ModelLoadFailed(model="b.gguf", reason="load_failed", message="no", retry_after_s=1.0),
    ModelEvicted(model="b.gguf", reason=EvictionReason.MAKE_ROOM, freed_bytes=10),
    WorkerExited(model="a.gguf", cause="signal", detail="signal 9"),
    RequestRefused(request_id="2", model="a.gguf", reason="queue_full"),
    RequestRefused(request_id="3", model="", reason="model_not_found"),
    RequestStarted(request_id="1", model="a.gguf", queue_wait_s=0.2),
    FINISHED,
    LoopLag(seconds=0.03),
)


class Service:
    """The one verb of a service that the metrics use."""

    def __init__(self, status: ServiceStatus | ModeldError = STATUS) -> None:
        self._status = status

    async def status(self) -> ServiceStatus:
        if isinstance(self._status, ModeldError):
            raise self._status
        return self._status


def scrape(
    plugin: PrometheusPlugin, service: Service | None = None, accept: str = "*/*"
) -> httpx.Response:
    app = Starlette(routes=list(plugin.modeld_register_routes(service or Service())))

    async def get() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get("/metrics", headers={"accept": accept})

    return asyncio.run(get())


def values(plugin: PrometheusPlugin, service: Service | None = None) -> Mapping[str, float]:
    """Return every series as the exposition writes it."""
    lines = scrape(plugin, service).text.splitlines()
    series = [line.rpartition(" ") for line in lines if not line.startswith("#")]
    assert len({name for name, _, _ in series}) == len(series)
    return {name: float(value) for name, _, value in series}


def told(*events: Event) -> PrometheusPlugin:
    plugin = PrometheusPlugin()
    [observer] = plugin.modeld_register_observers()
    for event in events:
        observer.notify(event)
    return plugin


def test_every_event_is_counted() -> None:
    found = values(told(*EVENTS))
    labels = 'method="POST",path="/infer",status="200"'
    expected = {
        f"modeld_http_requests_total{{{labels}}}": 1,
        f"modeld_http_request_duration_seconds_sum{{{labels}}}": 2,
        f"modeld_http_request_duration_seconds_count{{{labels}}}": 1,
        'modeld_http_inflight_requests{path="/infer"}': 1,
        'modeld_http_backpressure_total{reason="queue_full"}': 1,
        'modeld_http_backpressure_total{reason="wait_timeout"}': 0,
        'modeld_model_load_seconds_sum{model="a.gguf"}': 0.4,
        'modeld_model_load_failures_total{model="b.gguf",reason="load_failed"}': 1,
        'modeld_evictions_total{reason="make_room"}': 1,
        'modeld_evictions_total{reason="shutdown"}': 0,
        'modeld_worker_exits_total{cause="signal"}': 1,
        'modeld_worker_exits_total{cause="stall"}': 0,
        'modeld_requests_total{model="a.gguf",outcome="stop"}': 1,
        'modeld_requests_total{model="a.gguf",outcome="queue_full"}': 1,
        'modeld_requests_total{model="unknown",outcome="model_not_found"}': 1,
        'modeld_prompt_tokens_total{model="a.gguf"}': 5,
        'modeld_completion_tokens_total{model="a.gguf"}': 4,
        'modeld_loop_lag_seconds_bucket{le="0.025"}': 0,
        'modeld_loop_lag_seconds_bucket{le="0.05"}': 1,
        "modeld_queue_wait_seconds_sum": 0.2,
        "modeld_time_to_first_token_seconds_sum": 0.3,
        "modeld_request_seconds_sum": 2,
        "modeld_inter_token_seconds_count": 3,
        'modeld_inter_token_seconds_bucket{le="0.02"}': 1,
        'modeld_inter_token_seconds_bucket{le="0.05"}': 2,
        'modeld_inter_token_seconds_bucket{le="+Inf"}': 3,
    }
    assert {name: found.get(name) for name in expected} == expected
    assert found["modeld_inter_token_seconds_sum"] == pytest.approx(0.12)


def test_the_state_is_read_at_the_moment_of_the_scrape() -> None:
    found = values(PrometheusPlugin())
    expected = {
        'modeld_memory_budget_bytes{device="main"}': 1000,
        'modeld_memory_margin_bytes{device="main"}': 100,
        "modeld_session_bytes": 70,
        'modeld_memory_held_bytes{device="main",model="a.gguf"}': 300,
        'modeld_queue_length{model="a.gguf"}': 2,
        'modeld_inflight_requests{model="a.gguf"}': 1,
        'modeld_slots{model="a.gguf"}': 4,
        "modeld_warm_workers": 1,
        "modeld_uptime_seconds": 12.5,
    }
    assert {name: found.get(name) for name in expected} == expected


def test_an_unlimited_budget_is_infinite() -> None:
    unlimited = ServiceStatus(
        state=ServiceState.RUNNING,
        instances=(),
        budget_bytes=None,
        held_bytes=0,
        margin_bytes=0,
        loads_total=0,
        evictions_total=0,
        uptime_s=0.0,
    )
    found = values(PrometheusPlugin(), Service(unlimited))
    assert found['modeld_memory_budget_bytes{device="main"}'] == float("inf")


def test_a_service_out_of_reach_leaves_the_counters(caplog: pytest.LogCaptureFixture) -> None:
    found = values(told(FINISHED), Service(BackendUnavailableError("node 2 is away")))
    assert found['modeld_requests_total{model="a.gguf",outcome="stop"}'] == 1
    assert "modeld_uptime_seconds" not in found
    assert "node 2 is away" in caplog.text


def test_a_request_without_a_token_has_no_first_token() -> None:
    nothing = RequestFinished(
        request_id="1",
        model="a.gguf",
        outcome="cancelled",
        seconds=1.0,
        first_token_s=None,
        prompt_tokens=0,
        completion_tokens=0,
    )
    found = values(told(nothing))
    assert found["modeld_time_to_first_token_seconds_count"] == 0
    assert found["modeld_inter_token_seconds_count"] == 0
    assert found['modeld_requests_total{model="a.gguf",outcome="cancelled"}'] == 1


def test_a_unary_request_that_was_served_is_counted_without_a_first_token() -> None:
    answered = RequestFinished(
        request_id="1",
        model="a.gguf",
        outcome="answered",
        seconds=1.0,
        first_token_s=None,
        prompt_tokens=7,
        completion_tokens=0,
    )
    found = values(told(answered))
    assert found['modeld_requests_total{model="a.gguf",outcome="answered"}'] == 1
    assert found['modeld_prompt_tokens_total{model="a.gguf"}'] == 7
    assert found["modeld_time_to_first_token_seconds_count"] == 0


def test_each_instance_of_the_plugin_counts_for_itself() -> None:
    first, second = told(FINISHED), told()
    assert values(first)["modeld_request_seconds_count"] == 1
    assert values(second)["modeld_request_seconds_count"] == 0


def test_words_from_outside_make_no_new_series() -> None:
    plugin = told(*EVENTS, *_odd_events(0))
    before = values(plugin).keys()
    chance = random.Random(28)
    for _ in range(10_000):
        for event in _odd_events(chance.random()):
            plugin.metrics.notify(event)
    assert values(plugin).keys() == before


def _odd_events(number: float) -> tuple[Event, ...]:
    word = f"odd-{number}"
    return (
        HttpRequestStarted(route="/infer", method=word),
        HttpRequestFinished(route="/infer", method=word, status=405, seconds=0.1),
        RequestRefused(request_id=word, model="", reason=word),
        ModelLoadFailed(model="a.gguf", reason=word, message=word, retry_after_s=1.0),
        WorkerExited(model="a.gguf", cause=word, detail=word),
        RequestFinished(
            request_id=word,
            model="",
            outcome=word,
            seconds=1.0,
            first_token_s=None,
            prompt_tokens=1,
            completion_tokens=1,
        ),
    )


def test_an_error_of_a_plugin_is_counted_by_its_code() -> None:
    plugin = PrometheusPlugin()

    class TooHotError(ModeldError):
        """Made after the metrics were."""

        code = "too_hot"

    plugin.metrics.notify(RequestRefused(request_id="1", model="a.gguf", reason=TooHotError.code))
    assert values(plugin)['modeld_requests_total{model="a.gguf",outcome="too_hot"}'] == 1
    del TooHotError
    gc.collect()  # or the error would be among those that other tests find


def test_a_model_with_an_awkward_name_is_escaped() -> None:
    event = ModelLoaded(model='a"\\\n', seconds=1.0, held_bytes=1, estimated_bytes=1)
    assert r'{model="a\"\\\n"}' in scrape(told(event)).text


def test_many_values_at_once_are_counted_like_one_by_one() -> None:
    from prometheus_client import CollectorRegistry, Histogram, generate_latest

    chance = random.Random(1)
    gaps = [chance.expovariate(20) for _ in range(1000)] + list(GAPS_S)
    registry = CollectorRegistry()
    slow = Histogram("gaps", "Gaps.", buckets=GAPS_S, registry=registry)
    for gap in gaps:
        slow.observe(gap)
    bulk = BulkHistogram("gaps", "Gaps.", GAPS_S)
    bulk.observe_all(gaps[:500])
    bulk.observe_all(gaps[500:])
    expected = _buckets(generate_latest(registry).decode())
    assert _buckets(generate_latest(bulk).decode()) == expected
    assert len(expected) == len(GAPS_S) + 1


def _buckets(text: str) -> list[str]:
    return [line for line in text.splitlines() if "_bucket" in line]


def test_the_scraper_chooses_the_format() -> None:
    plugin = told(*EVENTS)
    plain = scrape(plugin)
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {family.name for family in plain_text(plain.text)}
    accept = "application/openmetrics-text;version=1.0.0"
    opened = scrape(plugin, accept=accept)
    assert opened.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert {family.name for family in open_metrics(opened.text)} == families


@pytest.mark.debian
def test_promtool_has_no_complaint() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.fail("promtool is missing; `make debian` brings it (Debian package prometheus)")
    checked = subprocess.run(
        [promtool, "check", "metrics"],
        input=scrape(told(*EVENTS)).text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_the_fixed_words_are_those_that_the_core_uses() -> None:
    from modeld.errors import error_codes

    assert set(BACKPRESSURE) <= error_codes().keys()
    assert all(error_codes()[reason].retryable for reason in BACKPRESSURE)
    found = values(PrometheusPlugin())
    for reason in EvictionReason:
        assert f'modeld_evictions_total{{reason="{reason}"}}' in found
    for cause in EXIT_CAUSES:
        assert f'modeld_worker_exits_total{{cause="{cause}"}}' in found
