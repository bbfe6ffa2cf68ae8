# SPDX-License-Identifier: GPL-3.0-only
"""The entry point of the plugin: its settings, its source and its backends."""

from __future__ import annotations

from collections.abc import Iterable

from modeld import Backend, RegistrySource, Settings, hookimpl
from modeld_upstream.backend import backends_of
from modeld_upstream.servers import UpstreamSettings
from modeld_upstream.source import UpstreamModels


@hookimpl
def modeld_register_settings() -> type[UpstreamSettings]:
    """Return the table of the servers."""
    return UpstreamSettings


@hookimpl
def modeld_register_sources(settings: Settings) -> Iterable[RegistrySource]:
    """Return the source of the servers' models, if there are servers."""
    servers = settings.of(UpstreamSettings).servers
    return [UpstreamModels(servers)] if servers else []


@hookimpl
def modeld_register_backends(settings: Settings) -> Iterable[Backend]:
    """Return the backends of the servers that there are."""
    return backends_of(settings.of(UpstreamSettings).servers, settings)
