# SPDX-License-Identifier: GPL-3.0-only
"""The file for ``serve deploy``, made of modeld's settings."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any, Final

import yaml

from modeld import Settings
from modeld.errors import ConfigurationError
from modeld_ray.settings import RaySettings

APPLICATION: Final = "modeld"
BUILDER: Final = "modeld_ray.app:build"

VARIABLES: Final[Mapping[str, str]] = {
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "modeld_ray.proxy:middlewares",
    "RAY_SERVE_USE_GRPC_BY_DEFAULT": "1",
    "RAY_SERVE_FORCE_STOP_UNHEALTHY_REPLICAS": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""What every node's environment has before Ray is started there: its processes read it then."""

_HEAD: Final = """\
# Written by `modeld ray config`, for `serve deploy`.
# Each node's environment has, before Ray starts:
# {variables}
"""


def serve_config(document: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """Return what ``serve deploy`` reads, for settings as a document and as they are understood.

    Raises:
        ConfigurationError: a cluster cannot serve at the address, or anybody could reach it.
    """
    host, port = address_of(settings)
    own = settings.of(RaySettings)
    # Ray has a deployment's options from the builder; those that operators change stand here too.
    return {
        "proxy_location": "EveryNode",
        "http_options": {"host": host, "port": port},
        "applications": [
            {
                "name": APPLICATION,
                "route_prefix": "/",
                "import_path": BUILDER,
                "args": {"settings": dict(document)},
                "deployments": [
                    {"name": "host", **scaling(own)},
                    {"name": "ingress", "num_replicas": own.ingresses},
                ],
            }
        ],
    }


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
            "upscale_delay_s": settings.add_after_s,
            "downscale_delay_s": settings.remove_after_s,
        },
    }


def as_yaml(config: Mapping[str, Any]) -> str:
    """Return a configuration as a file, with what has to be known about it at its head."""
    variables = " ".join(f"{name}={value}" for name, value in VARIABLES.items())
    body: str = yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)
    return _HEAD.format(variables=variables) + body


def address_of(settings: Settings) -> tuple[str, int]:
    """Return the host and the port that every node of the cluster serves at.

    Raises:
        ConfigurationError: it is no address of TCP, or other machines can reach it without a key.
    """
    host, colon, port = settings.addr.rpartition(":")
    if settings.addr.startswith("unix:") or not colon or not port.isdecimal():
        raise ConfigurationError(
            f"addr {settings.addr!r}: a cluster serves at HOST:PORT", field="addr"
        )
    host = host.strip("[]") or "127.0.0.1"
    if not _is_loopback(host) and not settings.api_key_file and not settings.insecure_no_auth:
        raise ConfigurationError(
            f"addr {settings.addr} can be reached from other machines, and no API key protects it;"
            " set api_key_file, listen on loopback only (:8080), or allow it with insecure_no_auth",
            field="api_key_file",
        )
    return host, int(port)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
