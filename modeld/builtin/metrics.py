# SPDX-License-Identifier: GPL-3.0-only
"""What modeld measures: one registry per application, fed by events.

Every label comes from a fixed set, so that no client can make new series: routes are templates,
models are those that the server knows (``unknown`` for the rest), reasons are modeld's own codes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import assert_never

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from modeld import Observer
from modeld.errors import error_codes
from modeld.events import (
    ConnectionRefused,
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
from modeld.responses import FinishReason
from modeld.status import EvictionReason, PlanOutcome

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
EXIT_CAUSES = ("signal", "exit", "stall", "garbage", "closed")
BACKPRESSURE = ("queue_full", "wait_timeout", "budget_exceeded", "draining")
"""The refusals that say: come back later."""

REFUSALS = (
    ("400", "invalid_request"),
    ("408", "request_too_slow"),
    ("414", "target_too_long"),
    ("431", "header_too_large"),
    ("431", "too_many_headers"),
    ("503", "too_many_connections"),
)
"""What is refused while it is read: the status and the reason."""

PLACEMENTS = (
    PlanOutcome.RESIDENT,
    PlanOutcome.LOADING,
    PlanOutcome.LOADS,
    PlanOutcome.EVICTS,
    PlanOutcome.WAITS,
)
"""Where a request's model stood as it came; who was refused is counted by its reason."""

SHORT_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
"""Buckets for waits."""

LONG_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
"""Buckets for whole requests and loads."""

GAPS_S = (
    *(0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05),
    *(0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5, 5, 10),
)
"""Buckets for the time between two tokens, finest where people begin to notice it."""


class BulkHistogram(Collector):
    """A histogram that takes many values at once, for a fraction of the cost of one by one."""

    def __init__(self, name: str, documentation: str, buckets: Sequence[float]) -> None:
        self._name = name
        self._documentation = documentation
        self._bounds = (*map(float, buckets), float("inf"))
        # Replaced as one, because a scrape reads it on another thread.
        self._state = ([0] * len(self._bounds), 0.0)

    def observe_all(self, values: Iterable[float]) -> None:
        """Count all values."""
        ordered = sorted(values)
        counts, total = self._state
        pairs = zip(counts, self._bounds, strict=True)
        added = [count + bisect_right(ordered, bound) for count, bound in pairs]
        self._state = (added, total + sum(ordered))

    def collect(self) -> Iterator[Metric]:
        """Yield the state, as the registry wants it."""
        names = (*map(str, self._bounds[:-1]), "+Inf")
        counts, total = self._state
        buckets = list(zip(names, counts, strict=True))
        yield HistogramMetricFamily(self._name, self._documentation, buckets, total)


class Metrics(Observer):
    """Counts events into a registry of its own."""

    name = "prometheus"

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._words = {*map(str, FinishReason), "answered", "cancelled", *error_codes()}
        self._make_http_metrics()
        self._make_request_metrics()
        self._make_model_metrics()

    def notify(self, event: Event) -> None:
        """Count one event."""
        match event:
            case HttpRequestStarted() | HttpRequestFinished():
                self._count_http(event)
            case RequestStarted() | RequestRefused() | RequestFinished():
                self._count_request(event)
            case ModelLoaded() | ModelLoadFailed() | ModelEvicted():
                self._count_model(event)
            case ConnectionRefused():
                refusal = (str(event.status), event.reason)
                known = refusal if refusal in REFUSALS else ("other", "other")
                self._refused.labels(*known).inc()
            case WorkerExited():
                cause = event.cause if event.cause in EXIT_CAUSES else "other"
                self._worker_exits.labels(cause).inc()
            case LoopLag():
                self._loop_lag.observe(event.seconds)
            case ModelLoading() | ModelLoadProgress():
                pass
            case _:
                assert_never(event)

    def _make_http_metrics(self) -> None:
        labels = ("path", "method", "status")
        self._http_requests = self._counter(
            "modeld_http_requests_total", "HTTP requests answered.", labels
        )
        self._http_seconds = self._histogram(
            "modeld_http_request_duration_seconds",
            "Time from an HTTP request's arrival to the end of its response.",
            LONG_S,
            labels,
        )
        self._http_inflight = Gauge(
            "modeld_http_inflight_requests",
            "HTTP requests that are being answered.",
            ("path",),
            registry=self.registry,
        )
        self._backpressure = self._counter(
            "modeld_http_backpressure_total",
            "Requests that were told to come back later.",
            ("reason",),
        )
        for reason in BACKPRESSURE:
            self._backpressure.labels(reason)
        self._refused = self._counter(
            "modeld_http_refused_total",
            "Connections that were ended while a request was read from them.",
            ("status", "reason"),
        )
        for refusal in REFUSALS:
            self._refused.labels(*refusal)
        self._loop_lag = self._histogram(
            "modeld_loop_lag_seconds",
            "The longest delay of the event loop in each second.",
            SHORT_S,
        )

    def _make_request_metrics(self) -> None:
        self._requests = self._counter(
            "modeld_requests_total",
            "Requests by how they ended: a finish reason, answered, cancelled or an error's code.",
            ("model", "outcome"),
        )
        self._prompt_tokens = self._counter(
            "modeld_prompt_tokens_total", "Tokens read as prompts.", ("model",)
        )
        self._completion_tokens = self._counter(
            "modeld_completion_tokens_total", "Tokens generated.", ("model",)
        )
        self._placed = self._counter(
            "modeld_requests_placed_total",
            "Requests that were served, by where their model stood as they came.",
            ("placement",),
        )
        for placement in PLACEMENTS:
            self._placed.labels(placement)
        self._queue_wait = self._histogram(
            "modeld_queue_wait_seconds",
            "Time that a request waited for its slot, a load included.",
            SHORT_S,
        )
        self._first_token = self._histogram(
            "modeld_time_to_first_token_seconds",
            "Time from a request's arrival to its first token.",
            SHORT_S,
        )
        self._request_seconds = self._histogram(
            "modeld_request_seconds",
            "Time from a request's arrival to the end of its response.",
            LONG_S,
        )
        self._gaps = BulkHistogram(
            "modeld_inter_token_seconds", "Time between two tokens of one generation.", GAPS_S
        )
        self.registry.register(self._gaps)

    def _make_model_metrics(self) -> None:
        self._load_seconds = self._histogram(
            "modeld_model_load_seconds",
            "Time that it took to bring a model into memory.",
            LONG_S,
            ("model",),
        )
        self._warm_up_seconds = self._histogram(
            "modeld_model_warm_up_seconds",
            "Time of a load in which the model has computed its warm-up.",
            LONG_S,
            ("model",),
        )
        self._load_failures = self._counter(
            "modeld_model_load_failures_total",
            "Loads that failed, by the error's code.",
            ("model", "reason"),
        )
        self._evictions = self._counter(
            "modeld_evictions_total", "Models that were taken out of memory.", ("reason",)
        )
        self._worker_exits = self._counter(
            "modeld_worker_exits_total", "Workers that ended without being told to.", ("cause",)
        )
        for reason in EvictionReason:
            self._evictions.labels(reason.value)
        for cause in EXIT_CAUSES:
            self._worker_exits.labels(cause)

    def _counter(self, name: str, documentation: str, labels: Sequence[str]) -> Counter:
        return Counter(name, documentation, labels, registry=self.registry)

    def _histogram(
        self, name: str, documentation: str, buckets: Sequence[float], labels: Sequence[str] = ()
    ) -> Histogram:
        return Histogram(name, documentation, labels, registry=self.registry, buckets=buckets)

    def _count_http(self, event: HttpRequestStarted | HttpRequestFinished) -> None:
        if isinstance(event, HttpRequestStarted):
            self._http_inflight.labels(event.route).inc()
            return
        self._http_inflight.labels(event.route).dec()
        method = event.method if event.method in METHODS else "OTHER"
        labels = (event.route, method, str(event.status))
        self._http_requests.labels(*labels).inc()
        self._http_seconds.labels(*labels).observe(event.seconds)

    def _count_request(self, event: RequestStarted | RequestRefused | RequestFinished) -> None:
        model = event.model or "unknown"
        match event:
            case RequestStarted():
                self._queue_wait.observe(event.queue_wait_s)
                known = event.placement in PLACEMENTS
                self._placed.labels(event.placement if known else "other").inc()
            case RequestRefused():
                self._requests.labels(model, self._word(event.reason)).inc()
                if event.reason in BACKPRESSURE:
                    self._backpressure.labels(event.reason).inc()
            case RequestFinished():
                self._requests.labels(model, self._word(event.outcome)).inc()
                self._request_seconds.observe(event.seconds)
                if event.first_token_s is not None:
                    self._first_token.observe(event.first_token_s)
                self._prompt_tokens.labels(model).inc(event.prompt_tokens)
                self._completion_tokens.labels(model).inc(event.completion_tokens)
                self._gaps.observe_all(event.gaps_s)
            case _:
                assert_never(event)

    def _count_model(self, event: ModelLoaded | ModelLoadFailed | ModelEvicted) -> None:
        match event:
            case ModelLoaded():
                self._load_seconds.labels(event.model).observe(event.seconds)
                if event.warm_up_s:
                    self._warm_up_seconds.labels(event.model).observe(event.warm_up_s)
            case ModelLoadFailed():
                self._load_failures.labels(event.model, self._word(event.reason)).inc()
            case ModelEvicted():
                self._evictions.labels(event.reason.value).inc()
            case _:
                assert_never(event)

    def _word(self, code: str) -> str:
        if code not in self._words:
            self._words.update(error_codes())  # plugins may bring errors of their own
        return code if code in self._words else "other"
