# SPDX-License-Identifier: GPL-3.0-only
"""Models that are opened from Python, over a scripted service or over a local one."""

from __future__ import annotations

from typing import Any

import modeld
from modeld import BlockingModels, Models, Settings
from modeld.interfaces import ModelService
from modeld.plugins.host import PluginHost
from tests.support.http.fake_service import FakePlugin
from tests.support.serving.counter import Counter, a_shelf


def scripted(service: ModelService) -> Models:
    """Return the real API, with the real plugins, over a service of the test."""
    settings = Settings()
    plugins = PluginHost.discover(settings, {"fake": FakePlugin(service)})
    return modeld.open(settings, plugins=plugins)


def blocking(service: ModelService) -> BlockingModels:
    """Return the same for a test that waits."""
    return BlockingModels(scripted(service))


def local(**settings: Any) -> tuple[Models, Counter]:
    """Return the API over a local service whose backend has no runtime, and that backend."""
    counter = Counter(a_shelf(), **settings)
    return modeld.open(counter.settings, plugins=counter.plugins), counter
