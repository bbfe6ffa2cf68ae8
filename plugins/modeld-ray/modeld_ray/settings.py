# SPDX-License-Identifier: GPL-3.0-only
"""What can be set about a cluster."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from modeld import PluginSettings
from modeld.errors import ConfigurationError


class RaySettings(PluginSettings, frozen=True):
    """The settings that stand under ``ray``."""

    hosts: Annotated[
        int,
        Meta(ge=1, le=4096, description="how many hosts there are, or at least, if more may be"),
    ] = 1
    most_hosts: Annotated[
        int,
        Meta(
            ge=0, le=4096, description="most hosts, added under load; 0: never more than ray.hosts"
        ),
    ] = 0
    requests_per_host: Annotated[
        float,
        Meta(gt=0, description="requests at once, running or queued, above which a host is added"),
    ] = 8.0
    add_after_s: Annotated[
        float, Meta(gt=0, description="how long it has to be more before a host is added")
    ] = 30.0
    remove_after_s: Annotated[
        float, Meta(gt=0, description="how long it has to be less before a host is taken away")
    ] = 600.0
    ingresses: Annotated[
        int,
        Meta(ge=1, le=256, description="how many copies of the HTTP application, each on its node"),
    ] = 1
    gpus_per_host: Annotated[
        float, Meta(ge=0, le=64, description="GPUs that Ray gives each host; 0: it uses none")
    ] = 0.0
    cpus_per_host: Annotated[
        float, Meta(ge=0, le=1024, description="processors that a host takes of its node's count")
    ] = 1.0
    slot_resource: Annotated[
        str,
        Meta(
            description="custom resource of which each host takes one, so that nodes can say how"
            " many they have; none if empty"
        ),
    ] = ""
    ingress_resource: Annotated[
        str,
        Meta(
            description="custom resource of which each ingress takes one, so that they are on nodes"
            " that stay; any node if empty"
        ),
    ] = ""
    window_ms: Annotated[
        float,
        Meta(
            ge=0,
            le=1000,
            description="time in which tokens of one generation are gathered before they cross to"
            " the ingress, in ms; the first after a pause never waits",
        ),
    ] = 20.0
    refresh_s: Annotated[
        float,
        Meta(ge=0.1, le=60, description="how often hosts say what they hold and what has happened"),
    ] = 1.0
    report_timeout_s: Annotated[
        float, Meta(gt=0, description="longest time that a host may take to say how it is")
    ] = 2.0
    silence_timeout_s: Annotated[
        float,
        Meta(
            gt=0,
            description="longest time that a host may be silent while it serves a request; it sends"
            " a sign of life each second",
        ),
    ] = 10.0
    quarantine_losses: Annotated[
        int,
        Meta(
            ge=1,
            description="hosts that may be lost within ten minutes while they served requests for"
            " one model, before the model is refused for a while",
        ),
    ] = 3
    quarantine_s: Annotated[
        float, Meta(gt=0, description="how long such a model is refused, in seconds")
    ] = 60.0
    drain_s: Annotated[
        float, Meta(gt=0, description="longest time that a host that is taken away serves on")
    ] = 300.0
    settings_file: Annotated[
        str,
        Meta(
            description="path of this file on every machine, for reloads and for hosts that start"
            " later; `modeld ray up` fills it in"
        ),
    ] = ""

    def __post_init__(self) -> None:
        """Check that there may be as many hosts as there are.

        Raises:
            ConfigurationError: there may not.
        """
        if self.most_hosts and self.most_hosts < self.hosts:
            raise ConfigurationError(
                f"ray.most_hosts: {self.most_hosts} is less than ray.hosts, {self.hosts}",
                field="ray.most_hosts",
            )
