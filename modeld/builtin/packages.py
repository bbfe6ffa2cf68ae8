# SPDX-License-Identifier: GPL-3.0-only
"""The built-in source of GGUF files that installed Python packages have brought."""

from __future__ import annotations

import csv
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final, NamedTuple

from msgspec import Meta

from modeld import ModelSpec, PluginSettings, RegistrySource, Settings, hookimpl
from modeld.builtin.gguf.files import FoundFile, look_at
from modeld.builtin.gguf.groups import group_files
from modeld.builtin.gguf.names import displayed
from modeld.builtin.gguf.problems import ModelsFolderError
from modeld.builtin.gguf.specs import GgufSpecs

_SUFFIX: Final = ".gguf"
_MOST_RECORD_BYTES: Final = 16 << 20

log = logging.getLogger("modeld.packages")


class PackagesSettings(PluginSettings, frozen=True):
    """Whether installed packages are searched."""

    enabled: Annotated[
        bool, Meta(description="list the GGUF models that installed Python packages have brought")
    ] = False


class _Record(NamedTuple):
    """The files of a distribution, as they were when its RECORD had this time."""

    mtime_ns: int
    files: tuple[str, ...]


class InstalledPackages(RegistrySource):
    """Finds the GGUF files that are named by the ``RECORD`` of a distribution on ``path``.

    A model's id is ``DISTRIBUTION/FILE``, and ``DISTRIBUTION/FOLDERS/FILE`` where one distribution
    has two of one name. A record is read again only when it has changed.
    """

    name = "packages"

    def __init__(self, path: Iterable[str] | None = None) -> None:
        self._path = path
        self._specs = GgufSpecs(self.name, sys.prefix)
        self._records: dict[Path, _Record] = {}

    async def list_models(self) -> Sequence[ModelSpec]:
        """Return the models of all distributions in the order of their ids.

        Raises:
            ModelsFolderError: there is no folder with packages.
        """
        specs: dict[str, ModelSpec] = {}
        paths: list[str] = []
        for distribution, files in self._found():
            paths += [file.path for file in files]
            groups = group_files(files)
            names = [group.name for group in groups]
            for group in groups:
                name = group.name if names.count(group.name) == 1 else group.relative
                model = displayed(f"{distribution}/{name}")
                # The first of two installations is the one that Python imports.
                specs.setdefault(model, self._specs.spec(group, model))
        self._specs.keep_only(paths)
        return [specs[model] for model in sorted(specs)]

    def _found(self) -> Iterator[tuple[str, list[FoundFile]]]:
        records: dict[Path, _Record] = {}
        path = sys.path if self._path is None else self._path
        sites = [site for site in dict.fromkeys(path) if Path(site).is_dir()]
        if not sites:
            raise ModelsFolderError(
                "none of the folders with Python's packages is there; turn packages.enabled off",
                field="packages.enabled",
            )
        for site in sites:
            for record in sorted(Path(site).glob("*.dist-info/RECORD")):
                try:
                    mtime_ns = record.stat().st_mtime_ns
                    known = self._records.get(record)
                    if known is None or known.mtime_ns != mtime_ns:
                        known = _Record(mtime_ns, _models_in(record))
                except OSError:
                    continue  # half uninstalled
                records[record] = known
                distribution = record.parent.name.partition("-")[0]
                files = [look_at(os.path.join(site, each), each) for each in known.files]  # noqa: PTH118
                yield distribution, files
        self._records = records


def _models_in(record: Path) -> tuple[str, ...]:
    """Return the files that a record names; most have none, and are not taken apart."""
    if record.stat().st_size > _MOST_RECORD_BYTES:
        return ()
    try:
        text = record.read_text(encoding="utf-8")
        rows = csv.reader(text.splitlines()) if _SUFFIX in text.lower() else ()
        return tuple(row[0] for row in rows if row and row[0].lower().endswith(_SUFFIX))
    except (ValueError, csv.Error) as exc:
        log.warning("no models of %s: it cannot be read: %s", displayed(str(record)), exc)
        return ()


@hookimpl
def modeld_register_settings() -> type[PackagesSettings]:
    """Return the table of the search."""
    return PackagesSettings


@hookimpl
def modeld_register_sources(settings: Settings) -> Iterable[RegistrySource]:
    """Bring the installed packages, if they are to be searched."""
    return [InstalledPackages()] if settings.of(PackagesSettings).enabled else []
