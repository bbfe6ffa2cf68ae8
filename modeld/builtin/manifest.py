# SPDX-License-Identifier: GPL-3.0-only
"""The built-in source of the models that a file lists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from modeld import ModelSpec, PluginSettings, RegistrySource, Settings, hookimpl
from modeld.builtin.gguf.groups import FileGroup, group_at
from modeld.builtin.gguf.names import displayed
from modeld.builtin.gguf.specs import GgufSpecs
from modeld.capabilities import Capability
from modeld.errors import ConfigurationError
from modeld.expectation import misfit
from modeld.settings.file import read_file

_Text = Annotated[str, Meta(min_length=1)]


class ManifestSettings(PluginSettings, frozen=True):
    """Where the list is."""

    file: Annotated[
        str, Meta(description="a list of models to serve: a YAML, JSON or TOML file")
    ] = ""


class ManifestRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One model of the list; relative paths are relative to the file that has the list."""

    id: _Text
    path: _Text
    name: str = ""
    aliases: list[_Text] = []
    options: dict[str, Any] = {}
    offers: list[Capability] | None = None
    projector: str = ""


class ManifestRows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    models: list[ManifestRow]


class Manifest(RegistrySource):
    """Lists the models of a file, each under the id, the aliases and with the options it says."""

    name = "manifest"

    def __init__(self, file: str) -> None:
        self._file = Path(file)
        self._specs = GgufSpecs(self.name, file)

    async def list_models(self) -> Sequence[ModelSpec]:
        """Return the models in the order of their ids.

        Raises:
            ConfigurationError: the file cannot be read, or a row of it is wrong.
        """
        specs: list[ModelSpec] = []
        paths: list[str] = []
        for row in self._rows():
            try:
                group = group_at(self._at(row.path))
                specs.append(self._spec(row, group))
            except (RuntimeError, ValueError) as exc:
                specs.append(self._unusable(row, exc))
            else:
                paths += [file.path for file in group.files]
        self._specs.keep_only(paths)
        return sorted(specs, key=lambda spec: spec.id)

    def watched_paths(self) -> Sequence[str]:
        """Return the file's folder, for editors put another file in its place, and the models'."""
        try:
            rows = self._rows()
        except ConfigurationError:
            rows = []
        files = [self._file]
        for row in rows:
            with suppress(RuntimeError, ValueError):  # the row's problem says it
                files.append(self._at(row.path))
        return list(dict.fromkeys(str(path.parent) for path in files))

    def _rows(self) -> list[ManifestRow]:
        found = read_file(str(self._file))
        if wrong := misfit(ManifestRows, found, str(self._file)):
            raise ConfigurationError(wrong, field="manifest.file")
        rows = msgspec.convert(found, ManifestRows).models
        _refuse_twice(self._file, [row.id for row in rows])
        return rows

    def _spec(self, row: ManifestRow, group: FileGroup) -> ModelSpec:
        spec = self._specs.spec(group, row.id)
        return replace(
            spec,
            name=row.name or spec.name,
            aliases=tuple(row.aliases),
            options=row.options,
            offers=None if row.offers is None else tuple(row.offers),
            projector=str(self._at(row.projector)) if row.projector else spec.projector,
        )

    def _unusable(self, row: ManifestRow, fault: Exception) -> ModelSpec:
        return ModelSpec(
            id=row.id,
            name=row.name or row.id,
            path=displayed(row.path),
            source=self.name,
            aliases=tuple(row.aliases),
            problem=f"its path or that of its projector cannot be used: {fault}",
        )

    def _at(self, path: str) -> Path:
        """Return where a row says that a file is.

        Raises:
            RuntimeError: it is below the home of somebody who is not known here.
            ValueError: it has a null character there.
        """
        return self._file.parent / Path(path).expanduser()


def _refuse_twice(file: Path, ids: Sequence[str]) -> None:
    seen: dict[str, int] = {}
    for number, model in enumerate(ids):
        if model in seen:
            raise ConfigurationError(
                f"{file}.models[{number}].id: {model!r} is the id of models[{seen[model]}] too;"
                " give one of them another",
                field="manifest.file",
            )
        seen[model] = number


@hookimpl
def modeld_register_settings() -> type[ManifestSettings]:
    """Return the table of the file."""
    return ManifestSettings


@hookimpl
def modeld_register_sources(settings: Settings) -> Iterable[RegistrySource]:
    """Bring the list, if the settings name one."""
    file = settings.of(ManifestSettings).file
    return [Manifest(str(Path(file).expanduser().absolute()))] if file else []
