# SPDX-License-Identifier: GPL-3.0-only
"""The HTTP application as a replica of Ray Serve: every dialect and route, over the cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from msgspec.structs import replace
from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.middleware import Middleware

from modeld import ModeldApp, ModelService, Settings, create_app, hookimpl
from modeld.events import Event
from modeld_ray.cluster_service import ClusterService
from modeld_ray.deploying.configuration import settings_to_begin_with
from modeld_ray.exposition import OF_INGRESS, ClusterMetrics, Exposed
from modeld_ray.hosts import Hosts
from modeld_ray.settings import RaySettings


class ClusterPlugin:
    """Puts the cluster in the place of this machine's models."""

    def __init__(self, handle: DeploymentHandle, settings: RaySettings, name: str) -> None:
        self._settings = settings
        self._name = name
        self.service: ClusterService | None = None
        self._hosts = Hosts(
            handle,
            silence_timeout_s=settings.silence_timeout_s,
            report_timeout_s=settings.report_timeout_s,
        )

    @hookimpl
    def modeld_build_service(self, notify: Callable[[Event], None]) -> ModelService:
        """Return the service of the cluster."""
        self.service = ClusterService(self._hosts, self._settings, notify)
        return self.service

    @hookimpl
    def modeld_register_middleware(self) -> Iterable[Middleware]:
        """Return what puts the metrics of all hosts into ``/metrics``."""
        return [Middleware(ClusterMetrics, gather=self._gather)]

    async def _gather(self, own: str) -> list[Exposed]:
        ingress = Exposed(text=own, labels={"ingress": self._name}, only=OF_INGRESS)
        hosts = [
            Exposed(text=text, labels={"host": host, "node": node})
            for host, node, text in await self._hosts.metrics()
        ]
        return [ingress, *hosts]


class Ingress:
    """Serves HTTP; Ray makes the application in the replica, so that nothing of it is pickled."""

    def __init__(self, hosts: DeploymentHandle, settings: Mapping[str, Any]) -> None:
        self._hosts = hosts
        found, read = settings_to_begin_with(settings)
        self._settings = _own(lambda: found)
        self._read = None if read is None else partial(_own, read)

    def __serve_build_asgi_app__(self) -> ModeldApp:
        """Return the application."""
        name = serve.get_replica_context().replica_id.unique_id
        plugin = ClusterPlugin(self._hosts, self._settings.of(RaySettings), name)
        app = create_app(self._settings, {"ray-cluster": plugin}, read=self._read)
        if plugin.service is not None and self._read is not None:
            plugin.service.follow = app.reloading.reload
        return app


def _own(read: Callable[[], Settings]) -> Settings:
    """Return the settings of an ingress: each host writes its trace, and here it would be twice."""
    return replace(read(), trace_file="")
