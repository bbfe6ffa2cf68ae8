# SPDX-License-Identifier: GPL-3.0-only
"""One host as a replica of Ray Serve: the whole of modeld on one node or GPU, without HTTP.

``RequestRouterConfig`` and what a replica says for routing are alpha in Ray 2.60.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from typing import Any, Final

import ray
from msgspec.structs import replace
from ray import serve
from ray.serve.config import RequestRouterConfig

from modeld import ModeldApp, ModeldError, Observer, create_app, hookimpl
from modeld.errors import InternalError
from modeld.events import Event
from modeld.requests import GenerateRequest
from modeld.status import InstanceState, ModelPlan, ServiceState, ServiceStatus
from modeld.values import ModelSpec
from modeld_ray.batching import gathered
from modeld_ray.configuration import settings_on
from modeld_ray.crossing import Crossed, Cursor, HostReport, Message, Outcome, Placed, written
from modeld_ray.exposition import exposition_of
from modeld_ray.placement import HostView, ModelView, Wish
from modeld_ray.settings import RaySettings

MOST_EVENTS: Final = 4096
"""So many events are kept for ingresses that have not asked yet."""

SIGN_OF_LIFE_S: Final = 1.0
"""After so long without a token a host says that it is still there."""

ROUTING_STATS_S: Final = 1.0

VERBS: Final = frozenset(
    {"submit", "load", "unload", "pin", "plan", "known", "default_model", "ready", "refresh"}
)
"""What an ingress may ask of a host's service by name."""


class HostEvents(Observer):
    """Keeps the latest events, marked with the host's name."""

    name = "ray-host"

    def __init__(self, host: str) -> None:
        self._host = host
        self.seq = 0
        self._events: deque[tuple[int, Event]] = deque(maxlen=MOST_EVENTS)

    def notify(self, event: Event) -> None:
        """Keep one event, if it is one of models and requests."""
        if hasattr(event, "host"):
            self.seq += 1
            self._events.append((self.seq, replace(event, host=self._host)))

    def after(self, seq: int) -> tuple[Event, ...]:
        """Return the events after one, the oldest first."""
        return tuple(event for number, event in self._events if number > seq)

    @hookimpl
    def modeld_register_observers(self) -> Iterable[Observer]:
        """Bring this."""
        return [self]


class HostReplica:
    """What an ingress talks to."""

    async def __init__(self, settings: Mapping[str, Any]) -> None:  # type: ignore[misc]  # Ray awaits it
        context = ray.get_runtime_context()
        self._host: str = serve.get_replica_context().replica_id.unique_id
        self._node: str = ray.util.get_node_ip_address()
        self._run = uuid.uuid4().hex
        found = await asyncio.to_thread(settings_on, settings, context.get_node_labels())
        self._window_s = found.of(RaySettings).window_ms / 1000
        self._events = HostEvents(self._host)
        self._app: ModeldApp = create_app(found, {"ray-host": self._events})
        self._specs: tuple[ModelSpec, ...] = ()
        self._specs_version = 0
        self._seq = 0
        await self._app.start()

    async def generate(
        self,
        request: GenerateRequest,
        *,
        wish: Wish,  # noqa: ARG002  (the router's)
    ) -> AsyncGenerator[bytes, None]:
        """Yield the messages of one generation; an error is the last of them."""
        yield written([Placed(host=self._host)])
        chunks: AsyncGenerator[Message, None] = self._app.service.generate(request)
        batches = gathered(
            chunks, window_s=self._window_s, idle_s=SIGN_OF_LIFE_S, clock=time.monotonic
        )
        async with aclosing(batches):
            try:
                async for batch in batches:
                    yield written(batch)
            except ModeldError as exc:
                yield written([Crossed.of(exc)])

    async def ask(self, verb: str, *args: Any, wish: Wish, **kwargs: Any) -> Outcome:  # noqa: ARG002
        """Return what a verb of the service returns, or its error."""
        if verb not in VERBS:
            return self._refusal(InternalError(f"hosts are not asked to {verb}"))
        try:
            value = await getattr(self._app.service, verb)(*args, **kwargs)
        except ModeldError as exc:
            return self._refusal(exc)
        if isinstance(value, ModelPlan):
            value = replace(value, host=self._host)
        return Outcome(host=self._host, value=value)

    async def report(self, cursors: Mapping[str, Cursor]) -> HostReport:
        """Return how this host is, and what the reader does not know yet."""
        cursor = cursors.get(self._host, Cursor())
        if cursor.run != self._run:
            cursor = Cursor(
                event_seq=max(0, self._events.seq - MOST_EVENTS) if not cursor.run else 0
            )
        specs = tuple(await self._app.service.models())
        if specs != self._specs:
            self._specs, self._specs_version = specs, self._specs_version + 1
        known = cursor.run == self._run and cursor.specs_version == self._specs_version
        return HostReport(
            host=self._host,
            node=self._node,
            run=self._run,
            status=await self._status(),
            events=self._events.after(cursor.event_seq),
            event_seq=self._events.seq,
            specs=None if known else specs,
            specs_version=self._specs_version,
        )

    async def metrics(self) -> tuple[str, str, str]:
        """Return this host, its node, and its metrics as Prometheus' text."""
        return self._host, self._node, await exposition_of(self._app)

    async def plugins(self) -> Outcome:
        """Return the plugins of this host."""
        return Outcome(host=self._host, value=tuple(await self._app.service.plugins()))

    async def record_routing_stats(self) -> dict[str, Any]:
        """Return what routers go by."""
        self._seq += 1
        return view_of(self._host, self._seq, await self._app.service.status()).stats()

    async def check_health(self) -> None:
        """Raise an error where this host serves no more, so that Ray replaces it."""
        state = (await self._app.service.status()).state
        if state is ServiceState.CLOSED:
            raise RuntimeError("the service of this host is closed")

    async def __del__(self) -> None:
        """End all workers; Ray awaits it when the replica is taken away in order."""
        app: ModeldApp | None = getattr(self, "_app", None)
        if app is not None:
            await app.aclose()

    def _refusal(self, error: ModeldError) -> Outcome:
        return Outcome(host=self._host, error=Crossed.of(error))

    async def _status(self) -> ServiceStatus:
        status = await self._app.service.status()
        marked = (replace(each, host=self._host, node=self._node) for each in status.instances)
        return replace(status, instances=tuple(marked))


def view_of(host: str, seq: int, status: ServiceStatus) -> HostView:
    """Return what routers need to know of a host's state."""
    there = (InstanceState.LOADING, InstanceState.READY)
    budget = status.budget_bytes
    limit = None if budget is None else budget - status.margin_bytes
    idle = [
        each
        for each in status.instances
        if each.state is InstanceState.READY
        and not (each.pinned or each.inflight or each.queue_len)
    ]
    return HostView(
        id=host,
        seq=seq,
        budget_bytes=limit,
        free_bytes=None if limit is None else limit - status.held_bytes,
        evictable_bytes=sum(each.held_bytes for each in idle),
        takes_requests=status.state in (ServiceState.STARTING, ServiceState.RUNNING),
        models={
            each.model_id: ModelView(
                each.inflight, each.queue_len, each.slots, each.max_queue_depth
            )
            for each in status.instances
            if each.state in there or each.queue_len
        },
    )


def host_deployment(settings: RaySettings) -> serve.Deployment:
    """Return the deployment of hosts, as the settings want them."""
    options: dict[str, Any] = {
        "num_cpus": settings.cpus_per_host,
        "num_gpus": settings.gpus_per_host,
    }
    if settings.slot_resource:
        options["resources"] = {settings.slot_resource: 1}
    return serve.deployment(HostReplica).options(
        name="host",
        ray_actor_options=options,
        # modeld's own queues say no; this is only the outer net.
        max_ongoing_requests=4096,
        graceful_shutdown_timeout_s=settings.drain_s,
        health_check_period_s=2,
        health_check_timeout_s=10,
        request_router_config=RequestRouterConfig(
            request_router_class="modeld_ray.router:HostRouter",
            request_routing_stats_period_s=ROUTING_STATS_S,
        ),
        **scaling(settings),
    )


def scaling(settings: RaySettings) -> dict[str, Any]:
    """Return how many hosts there are, as Ray wants it."""
    if settings.most_hosts <= settings.hosts:
        return {"num_replicas": settings.hosts}
    return {
        "num_replicas": "auto",
        "autoscaling_config": {
            "min_replicas": settings.hosts,
            "max_replicas": settings.most_hosts,
            "target_ongoing_requests": settings.requests_per_host,
        },
    }
