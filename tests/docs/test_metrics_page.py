# SPDX-License-Identifier: GPL-3.0-only
"""docs/reference/metrics.md has every metric with its type, its labels and its own help text."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import httpx
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from starlette.applications import Starlette

from modeld.builtin.metrics import BACKPRESSURE, EXIT_CAUSES, REFUSALS
from modeld.builtin.prometheus import PrometheusPlugin
from modeld.events import (
    Event,
    HttpRequestFinished,
    HttpRequestStarted,
    ModelLoaded,
    ModelLoadFailed,
    RequestFinished,
    RequestStarted,
)
from modeld.status import EvictionReason, InstanceState, InstanceStatus, ServiceState, ServiceStatus
from tests.support.docs.pages import read, rows
from tests.support.http.fake_service import FakeService

EVENTS: Sequence[Event] = (
    HttpRequestStarted(route="/infer", method="POST"),
    HttpRequestFinished(route="/infer", method="POST", status=200, seconds=1.0),
    ModelLoaded(model="a", seconds=1.0, held_bytes=1, estimated_bytes=1, warm_up_s=0.5),
    ModelLoadFailed(model="a", reason="load_failed", message="", retry_after_s=1.0),
    RequestStarted(request_id="1", model="a", queue_wait_s=0.1),
    RequestFinished(
        request_id="1",
        model="a",
        outcome="stop",
        seconds=1.0,
        first_token_s=0.5,
        prompt_tokens=1,
        completion_tokens=1,
    ),
)
"""With these every labelled metric that is counted has a sample."""

INSTANCE = InstanceStatus(
    model_id="a",
    state=InstanceState.READY,
    last_used_unix=0,
    held_bytes=1,
    queue_len=0,
    inflight=0,
    max_queue_depth=1,
    slots=1,
)
STATUS = ServiceStatus(
    state=ServiceState.RUNNING,
    instances=(INSTANCE,),
    budget_bytes=1,
    held_bytes=1,
    margin_bytes=0,
    loads_total=1,
    evictions_total=0,
    uptime_s=1.0,
)


def scraped() -> str:
    """Return what a scrape of a server with one model gives."""
    plugin = PrometheusPlugin()
    for event in EVENTS:
        plugin.metrics.notify(event)

    service = FakeService()
    service.snapshot = STATUS
    app = Starlette(routes=[*plugin.modeld_register_routes(service)])

    async def get() -> str:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return (await client.get("/metrics")).text

    return asyncio.run(get())


def labels(samples: Sequence[Sample]) -> str:
    """Return the labels of a family in the exposition's order, without those of buckets."""
    names = dict.fromkeys(name for sample in samples for name in sample.labels if name != "le")
    return ", ".join(f"`{name}`" for name in sorted(names))


def listed(cell: str) -> str:
    """Return the labels in a cell of the page, in the same order as :func:`labels`."""
    return ", ".join(sorted(part for part in cell.split(", ") if part))


def metrics() -> Iterator[tuple[str, str, str, str]]:
    """Name, type, labels and help text of every metric."""
    for family in text_string_to_metric_families(scraped()):
        name = family.name + ("_total" if family.type == "counter" else "")
        yield f"`{name}`", family.type, labels(family.samples), family.documentation


def test_every_metric_is_listed_with_all_it_says() -> None:
    found = [row for row in rows(read("reference/metrics.md")) if row[0].startswith("`modeld_")]
    assert sorted((row[0], row[1], listed(row[2]), row[3]) for row in found) == sorted(metrics())
    assert len(found) > 20


def test_the_values_of_fixed_labels_are_listed() -> None:
    text = read("reference/metrics.md")
    refused = [reason for _, reason in REFUSALS]
    for words in (EvictionReason, BACKPRESSURE, EXIT_CAUSES, refused):
        for word in words:
            assert f"`{word}`" in text
