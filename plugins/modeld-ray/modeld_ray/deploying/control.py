# SPDX-License-Identifier: GPL-3.0-only
"""What ``modeld ray`` does to a cluster."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import ray
from ray import serve
from ray.exceptions import RayError
from ray.serve.exceptions import RayServeException

from modeld.errors import ConfigurationError, StartError
from modeld_ray.app import build
from modeld_ray.crossing import HostReport
from modeld_ray.deploying.serve_config import APPLICATION, VARIABLES

_LOOK_S: Final = 0.5
_MIB: Final = 1 << 20


def up(address: str, document: Mapping[str, Any], host: str, port: int, wait_s: float) -> None:
    """Deploy modeld, and return when it serves.

    Raises:
        StartError: it does not within ``wait_s``; what Ray says of it is in the message.
    """
    with _connected(address):
        options = {"host": host, "port": port}
        serve.start(proxy_location="EveryNode", http_options=options)
        target = serve.RunTarget(build({"settings": document}), name=APPLICATION, route_prefix="/")
        serve.run_many([target], wait_for_applications_running=False)
        ends_s = time.monotonic() + wait_s
        while (state := _state()) != "RUNNING":
            if state == "DEPLOY_FAILED" or time.monotonic() > ends_s:
                raise StartError(f"modeld is {state} on the cluster: {_message()}")
            time.sleep(_LOOK_S)


def status(address: str) -> Iterator[str]:
    """Yield lines for a person: the application, then each host."""
    with _connected(address):
        yield f"modeld is {_state()} on the cluster"
        if message := _message():
            yield message
        for report in sorted(_reports(), key=lambda each: each.host):
            yield _line(report)


def down(address: str) -> None:
    """Take the application away."""
    with _connected(address):
        serve.delete(APPLICATION)


@contextmanager
def _connected(address: str) -> Iterator[None]:
    try:
        ray.init(
            address=address,
            namespace="serve",
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except (ConnectionError, RayError, ValueError) as exc:
        words = " ".join(f"{name}={value}" for name, value in VARIABLES.items())
        raise ConfigurationError(
            f"there is no cluster of Ray at {address!r} ({type(exc).__name__}); start one on this"
            f" machine with `{words} ray start --head`"
        ) from exc
    try:
        yield
    finally:
        ray.shutdown()


def _state() -> str:
    found = serve.status().applications.get(APPLICATION)
    return "NOT_STARTED" if found is None else str(found.status.value)


def _message() -> str:
    found = serve.status().applications.get(APPLICATION)
    if found is None:
        return ""
    said = [found.message, *(each.message for each in found.deployments.values())]
    return "; ".join(each.strip() for each in said if each.strip())


def _reports() -> list[HostReport]:
    try:
        handle = serve.get_deployment_handle("host", APPLICATION)
        found = handle.broadcast("report", {}).results(timeout_s=10.0, return_exceptions=True)
    except (RayError, RayServeException, TimeoutError):
        return []
    return [each for each in found if isinstance(each, HostReport)]


def _line(report: HostReport) -> str:
    status = report.status
    budget = "unlimited" if status.budget_bytes is None else f"{status.budget_bytes // _MIB} MiB"
    loaded = [each.model_id for each in status.instances if each.state == "ready"]
    models = ", ".join(loaded) or "no model"
    held = status.held_bytes // _MIB
    return f"{report.host} on {report.node}: {status.state}, {held} MiB of {budget}, {models}"
