# SPDX-License-Identifier: GPL-3.0-only
"""``GET /metrics`` for Prometheus."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from modeld import ModeldError, ModelService, Observer, hookimpl
from modeld.builtin.metrics import Metrics
from modeld.status import MAIN, DeviceStatus, InstanceStatus, ServiceStatus

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

log = logging.getLogger("modeld.prometheus")


class PrometheusPlugin:
    """Keeps the metrics of one application; made anew for each, so that none are shared."""

    def __init__(self) -> None:
        self.metrics = Metrics()

    @hookimpl
    def modeld_register_observers(self) -> Iterable[Observer]:
        """Bring the observer that counts."""
        return [self.metrics]

    @hookimpl
    def modeld_register_routes(self, service: ModelService) -> Iterable[BaseRoute]:
        """Bring ``GET /metrics``, in the format that the scraper asks for."""
        from starlette.responses import Response  # noqa: PLC0415  (only a server needs the web stack)
        from starlette.routing import Route  # noqa: PLC0415

        async def metrics(request: Request) -> Response:
            """Show all metrics for Prometheus.

            The header `Accept` chooses between Prometheus' own text format and OpenMetrics.
            ---
            operationId: metrics
            tags: [state]
            responses:
              200:
                description: The metrics
                content:
                  text/plain:
                    schema: {type: string}
                    example: |
                      # HELP modeld_http_requests_total HTTP requests answered.
                      # TYPE modeld_http_requests_total counter
                      modeld_http_requests_total{method="GET",path="/healthz",status="200"} 1.0
                  application/openmetrics-text:
                    schema: {type: string}
                    example: |
                      # HELP modeld_http_requests HTTP requests answered.
                      # TYPE modeld_http_requests counter
                      modeld_http_requests_total{method="GET",path="/healthz",status="200"} 1.0
                      # EOF
            """
            encode, media_type = choose_encoder(request.headers.get("accept", ""))
            status = await _status_or_none(service)
            # Beside the event loop, which goes on between two lines of Python: with thousands of
            # models this takes a second.
            scrape = _Scrape(self.metrics.registry, status)
            content = await asyncio.to_thread(encode, scrape)
            return Response(content, headers={"content-type": media_type})

        return [Route("/metrics", metrics, methods=["GET"])]


async def _status_or_none(service: ModelService) -> ServiceStatus | None:
    """Return the status; ``None`` if a remote service is out of reach.

    The counters are worth having even then.
    """
    try:
        return await service.status()
    except ModeldError as exc:
        log.warning("metrics without the gauges: %s", exc.message)
        return None


class _Scrape(Collector):
    """What one scrape sees: all that was counted, and the state at this moment."""

    def __init__(self, registry: CollectorRegistry, status: ServiceStatus | None) -> None:
        self._registry = registry
        self._status = status

    def collect(self) -> Iterator[Metric]:
        """Yield all families, without times of creation: each would be one more series."""
        for family in self._registry.collect():
            family.samples = [
                sample for sample in family.samples if not sample.name.endswith("_created")
            ]
            yield family
        if self._status is not None:
            yield from _service_gauges(self._status)
            yield from _instance_gauges(self._status.instances)


def _service_gauges(status: ServiceStatus) -> Iterator[Metric]:
    yield from _device_gauges(status)
    yield GaugeMetricFamily(
        "modeld_session_bytes",
        "What models that have left memory have left of their chats.",
        status.session_bytes,
    )
    yield GaugeMetricFamily(
        "modeld_warm_workers", "Workers that wait for a model.", status.warm_workers
    )
    yield GaugeMetricFamily(
        "modeld_uptime_seconds", "Time since the service was started.", status.uptime_s
    )


def _device_gauges(status: ServiceStatus) -> Iterator[Metric]:
    budget, margin = (
        GaugeMetricFamily(name, documentation, labels=["device"])
        for name, documentation in (
            ("modeld_memory_budget_bytes", "Memory for all models together; +Inf: unlimited."),
            ("modeld_memory_margin_bytes", "Part of the budget that is kept free."),
        )
    )
    main = DeviceStatus(
        device=MAIN,
        budget_bytes=status.budget_bytes,
        held_bytes=status.held_bytes,
        margin_bytes=status.margin_bytes,
    )
    for device in status.devices or (main,):
        size = float("inf") if device.budget_bytes is None else device.budget_bytes
        budget.add_metric([device.device], size)
        margin.add_metric([device.device], device.margin_bytes)
    yield from (budget, margin)


def _instance_gauges(instances: Iterable[InstanceStatus]) -> Iterator[Metric]:
    held = GaugeMetricFamily(
        "modeld_memory_held_bytes", "Memory that a model holds.", labels=["model", "device"]
    )
    queue, inflight, slots = (
        GaugeMetricFamily(name, documentation, labels=["model"])
        for name, documentation in (
            ("modeld_queue_length", "Requests that wait in front of a model."),
            ("modeld_inflight_requests", "Requests that a model is working on."),
            ("modeld_slots", "Requests that a model can work on at once."),
        )
    )
    for instance in instances:
        label = [instance.model_id]
        on_gpus = instance.held_on_gpus
        held.add_metric([*label, MAIN], instance.held_bytes - sum(on_gpus.values()))
        for gpu, held_bytes in on_gpus.items():
            held.add_metric([*label, gpu], held_bytes)
        queue.add_metric(label, instance.queue_len)
        inflight.add_metric(label, instance.inflight)
        slots.add_metric(label, instance.slots)
    yield from (held, queue, inflight, slots)
