# SPDX-License-Identifier: GPL-3.0-only
"""A host as a replica of Ray Serve.

``RequestRouterConfig`` and what a replica says for routing are alpha in Ray 2.60.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Final

import ray
from ray import serve
from ray.serve.config import RequestRouterConfig

from modeld.requests import GenerateRequest
from modeld_ray.crossing import Crossed, Cursor, HostReport, Outcome
from modeld_ray.deploying.configuration import settings_to_begin_with
from modeld_ray.deploying.serve_config import scaling
from modeld_ray.errors import RETRY_S, HostLostError
from modeld_ray.host import Host
from modeld_ray.routing.placement import Wish
from modeld_ray.settings import RaySettings

ROUTING_STATS_S: Final = 1.0


class HostReplica:
    """Ray's side of a :class:`Host`. ``wish`` is for the router, which has read it."""

    async def __init__(self, settings: Mapping[str, Any]) -> None:  # type: ignore[misc]  # Ray awaits it
        labels = ray.get_runtime_context().get_node_labels()
        found, read = await asyncio.to_thread(settings_to_begin_with, settings, labels)
        name = serve.get_replica_context().replica_id.unique_id
        self._host = Host(name, ray.util.get_node_ip_address(), found, read=read)
        await self._host.start()

    async def generate(
        self,
        request: GenerateRequest,
        *,
        wish: Wish,  # noqa: ARG002
    ) -> AsyncGenerator[bytes, None]:
        """Yield the messages of one generation."""
        messages = self._host.generate(request)
        async with aclosing(messages):
            async for message in messages:
                yield message

    async def ask(
        self,
        verb: str,
        *args: Any,
        wish: Wish,
        **kwargs: Any,
    ) -> AsyncGenerator[Outcome | None, None]:
        """Yield what a verb of the service returns, or its error; before it signs of life."""
        if wish.only not in ("", self._host.name):
            error = HostLostError(f"host {wish.only} is gone", retry_after_s=RETRY_S)
            yield Outcome(host=self._host.name, error=Crossed.of(error))
            return
        outcomes = self._host.respond(verb, *args, **kwargs)
        async with aclosing(outcomes):
            async for outcome in outcomes:
                yield outcome

    async def ask_at_once(
        self,
        verb: str,
        *args: Any,
        wish: Wish | None = None,  # noqa: ARG002
        **kwargs: Any,
    ) -> Outcome:
        """Return what a verb of the service returns, or its error."""
        return await self._host.ask(verb, *args, **kwargs)

    async def report(
        self,
        cursors: Mapping[str, Cursor],
        *,
        wish: Wish | None = None,  # noqa: ARG002
    ) -> HostReport:
        """Return how this host is."""
        return await self._host.report(cursors)

    async def metrics(self, *, wish: Wish | None = None) -> tuple[str, str, str]:  # noqa: ARG002
        """Return this host's name, its node and its metrics."""
        return await self._host.metrics()

    async def plugins(self, *, wish: Wish | None = None) -> Outcome:  # noqa: ARG002
        """Return the plugins of this host."""
        return await self._host.plugins()

    async def record_routing_stats(self) -> dict[str, Any]:
        """Return what routers go by."""
        return await self._host.stats()

    async def check_health(self) -> None:
        """Raise an error where this host serves no more, so that Ray replaces it."""
        if await self._host.is_closed():
            raise RuntimeError("the service of this host is closed")

    async def __del__(self) -> None:
        """End all workers; Ray awaits it when the replica is taken away in order."""
        host: Host | None = getattr(self, "_host", None)
        if host is not None:
            await host.aclose()


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
        health_check_timeout_s=6,
        logging_config={"enable_access_log": False},  # modeld has its own
        request_router_config=RequestRouterConfig(
            request_router_class="modeld_ray.router:HostRouter",
            request_routing_stats_period_s=ROUTING_STATS_S,
        ),
        **scaling(settings),
    )
