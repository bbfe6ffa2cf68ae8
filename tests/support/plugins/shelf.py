# SPDX-License-Identifier: GPL-3.0-only
"""A plugin with settings of every kind, and one without. ``zoo/settings`` installs them."""

from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta

from modeld import Command, ModelSpec, PluginSettings, RegistrySource, Secret, Settings, hookimpl


class Server(PluginSettings, frozen=True):
    url: str
    key: Secret = ""
    weight: Annotated[int, Meta(ge=1)] = 1


class ShelfSettings(PluginSettings, frozen=True):
    folder: Annotated[str, Meta(description="folder with the texts")] = "~/texts"
    most: Annotated[int, Meta(ge=1, description="most texts")] = 100
    cache_mb: Annotated[int, Meta(ge=0, description="memory for texts, in MiB")] = 0
    patience_s: Annotated[float, Meta(gt=0, description="longest wait")] = 1.5
    sorted: Annotated[bool, Meta(description="sort the texts")] = False
    order: Annotated[Literal["name", "size"], Meta(description="what to sort by")] = "name"
    suffixes: Annotated[tuple[str, ...], Meta(description="what texts end in")] = (".txt",)
    limit: Annotated[int | None, Meta(description="longest text")] = None
    token: Annotated[Secret, Meta(description="what opens the shelf")] = ""
    servers: Annotated[tuple[Server, ...], Meta(description="other shelves")] = ()
    labels: Annotated[dict[str, int], Meta(description="a number for each text")] = {}

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < self.most:
            raise ValueError("limit must not be below most")


class Shelf(RegistrySource):
    name = "zoo-shelf"

    def __init__(self, settings: ShelfSettings) -> None:
        self.settings = settings

    async def list_models(self) -> Sequence[ModelSpec]:
        return [ModelSpec(id="poem", name="poem", path=self.settings.folder, source=self.name)]


class ShelfPlugin:
    @hookimpl
    def modeld_register_settings(self) -> type[PluginSettings]:
        return ShelfSettings

    @hookimpl
    def modeld_register_sources(self, settings: Settings) -> list[RegistrySource]:
        return [Shelf(settings.of(ShelfSettings))]


class Plain:
    """Takes no settings."""

    @hookimpl
    def modeld_register_sources(self) -> list[RegistrySource]:
        return []


class SpeakerSettings(PluginSettings, frozen=True):
    words: Annotated[str, Meta(description="what to say")] = "Say nothing."


class SpeakerPlugin:
    """Its command says in the help what its settings say."""

    @hookimpl
    def modeld_register_settings(self) -> type[PluginSettings]:
        return SpeakerSettings

    @hookimpl
    def modeld_register_commands(self, settings: Settings) -> list[Command]:
        words = settings.of(SpeakerSettings).words
        return [Command(name="speak", summary=words, target="tests.support.plugins.shelf:speak")]
