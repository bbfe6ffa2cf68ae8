# SPDX-License-Identifier: GPL-3.0-only
"""The cluster keeps to what every service keeps to."""

from __future__ import annotations

from typing import Any

import pytest
from modeld_ray.cluster_service import ClusterService
from modeld_ray.hosts import Hosts
from modeld_ray.settings import RaySettings
from raylets import MODEL, Cluster

from modeld import ModelService
from modeld.testing import ServiceContract


class TestCluster(ServiceContract):
    limit_s = 90.0
    model = MODEL

    @pytest.fixture(autouse=True)
    def _begin(self, cluster: Cluster) -> Any:
        """Each check finds a cluster in which nothing is loaded."""
        self._cluster = cluster
        yield
        for model in {each["model_id"] for each in cluster.status()["instances"]}:
            assert cluster.post(f"/models/{model}/unload", {}).is_success
        cluster.wait_for(lambda: not cluster.status()["held_mb"], "an empty memory")

    def make_service(self) -> ModelService:
        settings = RaySettings()
        hosts = Hosts(
            self._cluster.handle(),
            silence_timeout_s=settings.silence_timeout_s,
            report_timeout_s=10.0,
        )
        return ClusterService(hosts, settings, lambda _event: None)
