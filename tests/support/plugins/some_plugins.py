# SPDX-License-Identifier: GPL-3.0-only
"""Small plugins, and the one way in which the tests discover them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modeld import (
    Backend,
    Engine,
    EngineHost,
    ModelService,
    ModelSpec,
    Options,
    Settings,
    hookimpl,
)
from modeld.plugins.host import PluginHost
from modeld.values import PluginStatus

ZOO = Path(__file__).parent / "zoo"
"""Folders of installed plugins; one on the path of Python is a part of the zoo that is visited."""


class Thing(Backend):
    def __init__(self, name: str = "thing", *, loads: object = False) -> None:
        self.name = name
        self.loads = loads

    def can_load(self, spec: ModelSpec) -> bool:
        if isinstance(self.loads, Exception):
            raise self.loads
        return bool(self.loads)

    async def load(self, spec: ModelSpec, options: Options, host: EngineHost) -> Engine:
        raise NotImplementedError


class Brings:
    """A plugin that registers what it is given."""

    def __init__(self, *backends: object) -> None:
        self._backends = backends

    @hookimpl
    def modeld_register_backends(self) -> Sequence[Any]:
        return self._backends


def discover(
    extra: dict[str, object] | None = None, plugin_timeout_s: float = 10.0, **settings: Any
) -> PluginHost:
    return PluginHost.discover(Settings(plugin_timeout_s=plugin_timeout_s, **settings), extra)


def status_of(host: PluginHost, name: str) -> PluginStatus:
    (status,) = [status for status in host.statuses() if status.name == name]
    return status


class Elsewhere(ModelService):
    """A service of another kind; none of its verbs is ever used here."""


Elsewhere.__abstractmethods__ = frozenset()
