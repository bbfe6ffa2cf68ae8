# SPDX-License-Identifier: GPL-3.0-only
"""What ``serve deploy`` builds: hosts, and the ingresses in front of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray import serve
from ray.serve import Application

from modeld_ray.deploying.configuration import settings_from
from modeld_ray.ingress import Ingress
from modeld_ray.replica import host_deployment
from modeld_ray.settings import RaySettings


def build(args: Mapping[str, Any]) -> Application:
    """Return the application for ``args["settings"]``, which has the form of the settings file.

    Raises:
        ConfigurationError: a setting is wrong.
    """
    document = dict(args.get("settings") or {})
    settings = settings_from(document).of(RaySettings)
    hosts = host_deployment(settings).bind(document)
    resource = settings.ingress_resource
    ingress = serve.deployment(serve.ingress()(Ingress)).options(
        name="ingress",
        num_replicas=settings.ingresses,
        max_replicas_per_node=1,
        max_ongoing_requests=1024,
        ray_actor_options={"num_cpus": 0, "resources": {resource: 1} if resource else {}},
        graceful_shutdown_timeout_s=settings.drain_s,
        health_check_period_s=2,
        health_check_timeout_s=5,
        logging_config={"enable_access_log": False},
    )
    return ingress.bind(hosts, document)
