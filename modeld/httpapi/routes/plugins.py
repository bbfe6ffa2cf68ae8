# SPDX-License-Identifier: GPL-3.0-only
"""``GET /plugins``: what is installed, and why something is not in use."""

from __future__ import annotations

from typing import Literal

import msgspec
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from modeld.dialects.documents import Content, ResponseDoc
from modeld.httpapi.exchange.writing.json_response import document
from modeld.httpapi.routes.operations import Operation
from modeld.interfaces import ModelService
from modeld.values import PluginStatus


class FaultItem(BaseModel):
    """What has gone wrong in a plugin since the server has started."""

    thing: str = Field(description="kind and name of what of it was at fault")
    message: str
    count: int = Field(description="how often")
    last_unix: int = Field(description="when last, in seconds")


class PluginItem(BaseModel):
    """One installed plugin."""

    name: str = Field(description="the name of its entry point")
    distribution: str = Field(
        description="the installed package that brings it; empty if the application does"
    )
    version: str = Field(description="that package's version")
    state: Literal["active", "broken", "blocked"]
    provides: list[str] = Field(description="kind and name of each thing that it brings")
    reason: str | None = Field(
        None,
        description="why it is broken, or what of an active one is left out and why;"
        " absent if nothing is wrong",
    )
    faults: list[FaultItem] | None = Field(
        None,
        description="what has gone wrong in it since the server has started, the newest last;"
        " absent if nothing has",
    )


class PluginList(BaseModel):
    """All installed plugins."""

    plugins: list[PluginItem]


_EXAMPLE = {
    "plugins": [
        {
            "name": "gguf-folder",
            "distribution": "modeld",
            "version": "0.1.0",
            "state": "active",
            "provides": ["source gguf-folder"],
        },
        {
            "name": "llama-cpp",
            "distribution": "modeld-llama-cpp",
            "version": "0.1.0",
            "state": "active",
            "provides": ["backend llama-cpp"],
        },
    ]
}


class Plugins:
    """Serves ``GET /plugins``."""

    def __init__(self, service: ModelService) -> None:
        self._service = service

    async def list(self, _request: Request) -> Response:
        """Respond with all plugins and what is wrong with each."""
        return document(PluginList(plugins=[_item(p) for p in await self._service.plugins()]))

    def operations(self) -> tuple[Operation, ...]:
        """Return the one row of the route table."""
        content = Content(media_type="application/json", model=PluginList, example=_EXAMPLE)
        return (
            Operation(
                method="GET",
                path="/plugins",
                endpoint=self.list,
                name="list_plugins",
                tag="state",
                summary="List the installed plugins",
                responses=(
                    ResponseDoc(status=200, description="The plugins", contents=(content,)),
                ),
            ),
        )


def _item(plugin: PluginStatus) -> PluginItem:
    return PluginItem(
        name=plugin.name,
        distribution=plugin.distribution,
        version=plugin.version,
        state=plugin.state,
        provides=list(plugin.provides),
        reason=plugin.reason,
        faults=[FaultItem(**msgspec.to_builtins(each)) for each in plugin.faults] or None,
    )
