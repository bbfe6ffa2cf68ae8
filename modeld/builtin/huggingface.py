# SPDX-License-Identifier: GPL-3.0-only
"""The built-in source of what the tools of Hugging Face have downloaded."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

from msgspec import Meta
from msgspec.structs import replace

from modeld import ModelSpec, PluginSettings, RegistrySource, Settings, hookimpl
from modeld.builtin.gguf.files import FoundFile, Search, find_files
from modeld.builtin.gguf.groups import FileGroup, group_files
from modeld.builtin.gguf.names import displayed
from modeld.builtin.gguf.problems import ModelsFolderError, reason_of
from modeld.builtin.gguf.specs import GgufSpecs

_MAIN: Final = "main"
_MOST_REF_BYTES: Final = 256
_HASH: Final = re.compile(r"[0-9A-Za-z]{6,64}")
_SHORT: Final = 8

log = logging.getLogger("modeld.huggingface")


class HuggingFaceSettings(PluginSettings, frozen=True):
    """Whether Hugging Face's cache is searched, and where it is."""

    enabled: Annotated[
        bool, Meta(description="list the GGUF models in the cache of Hugging Face's tools")
    ] = False
    cache_dir: Annotated[
        str,
        Meta(
            description="the cache; unless set, where HF_HUB_CACHE or HF_HOME say, or"
            " ~/.cache/huggingface/hub"
        ),
    ] = ""


class HuggingFaceCache(RegistrySource):
    """Finds the GGUF files of the snapshots in a cache of ``huggingface_hub``.

    A model's id is ``ORG/NAME/FILE`` for the revision that ``refs/main`` names, and
    ``ORG/NAME@REVISION/FILE`` for any other; ``ORG/NAME:QUANT`` is an alias where ``main`` has
    one model of that quantisation, or has none and all other revisions have one together. A model
    that several revisions share is listed once. What is still being downloaded has no link in a
    snapshot yet, so it is not found.
    """

    name = "huggingface"

    def __init__(self, cache_dir: str) -> None:
        self._cache = Path(cache_dir)
        self._specs = GgufSpecs(self.name, cache_dir)
        self._searched: Sequence[str] = ()
        self._told: set[str] = set()

    async def list_models(self) -> Sequence[ModelSpec]:
        """Return the models of all repositories in the order of their ids.

        Raises:
            ModelsFolderError: the cache is missing or cannot be read.
        """
        paths: list[str] = []
        specs: list[ModelSpec] = []
        searched = [str(self._cache)]
        for folder in self._repositories():
            snapshots = self._searches(folder)
            searched += [str(folder), str(folder / "refs"), str(folder / "snapshots")]
            searched += [each for _, search in snapshots for each in search.folders]
            groups = list(_each_once(snapshots))
            paths += [file.path for _, group in groups for file in group.files]
            specs += self._models_of(_repository(folder.name), groups)
        self._specs.keep_only(paths)
        self._searched = searched
        return sorted(specs, key=lambda spec: spec.id)

    def watched_paths(self) -> Sequence[str]:
        """Return the folders of snapshots and references; blobs become models by these alone."""
        return self._searched or [str(self._cache)]

    def _repositories(self) -> list[Path]:
        try:
            return sorted(
                each for each in self._cache.iterdir() if each.name.startswith("models--")
            )
        except OSError as exc:
            raise ModelsFolderError(
                f"the cache of Hugging Face {self._cache} cannot be read: {reason_of(exc)};"
                " download a model first, or set huggingface.cache_dir or huggingface.enabled",
                field="huggingface.cache_dir",
            ) from exc

    def _searches(self, repository: Path) -> list[tuple[str, Search]]:
        """Return what is found of each revision, that of ``main`` first."""
        found = []
        for revision, snapshot in _snapshots(repository):
            try:
                found.append((revision, find_files(snapshot)))
            except FileNotFoundError:
                continue  # a reference to what is not downloaded
            except (OSError, RuntimeError) as exc:  # RuntimeError: a circle of links
                self._tell(f"{snapshot} cannot be read: {reason_of(exc)}")
        return found

    def _tell(self, what: str) -> None:
        """Say once what is left out."""
        if what not in self._told:
            self._told.add(what)
            log.warning("not searched: %s", displayed(what))

    def _models_of(
        self, repository: str, groups: Iterable[tuple[str, FileGroup]]
    ) -> list[ModelSpec]:
        main: list[ModelSpec] = []
        others: list[ModelSpec] = []
        for revision, group in groups:
            is_main = revision == _MAIN
            before = repository if is_main else f"{repository}@{revision}"
            spec = self._specs.spec(group, displayed(f"{before}/{group.relative}"))
            (main if is_main else others).append(spec)
        of_main = {spec.quant for spec in main}
        rivals = [spec for spec in others if spec.quant not in of_main]
        return [
            *_with_alias(repository, main, main),
            *_with_alias(repository, others, rivals),
        ]


def cache_of(environment: Mapping[str, str]) -> str:
    """Return where Hugging Face's tools have their cache, by their own rules."""
    if told := environment.get("HF_HUB_CACHE") or environment.get("HUGGINGFACE_HUB_CACHE"):
        return told
    home = environment.get("HF_HOME")
    if not home:
        home = f"{environment.get('XDG_CACHE_HOME') or '~/.cache'}/huggingface"
    return f"{home}/hub"


def _repository(folder: str) -> str:
    return displayed(folder.removeprefix("models--").replace("--", "/"))


def _each_once(searches: Iterable[tuple[str, Search]]) -> Iterator[tuple[str, FileGroup]]:
    """Yield the models of each revision, but none whose files all are in revisions before it.

    They are put together before any is left out: one may have a projector, or shards, that have not
    changed since.
    """
    seen: set[tuple[int, int] | None] = set()
    for revision, search in searches:
        for group in group_files(search.files):
            if not seen.issuperset(map(_blob, group.files)):
                yield revision, group
        seen.update(map(_blob, search.files))
        seen.discard(None)


def _blob(file: FoundFile) -> tuple[int, int] | None:
    return None if file.stamp is None else (file.stamp.device, file.stamp.inode)


def _with_alias(
    repository: str, specs: Iterable[ModelSpec], rivals: Iterable[ModelSpec]
) -> list[ModelSpec]:
    """Give each of ``specs`` an alias that is the only one of its quantisation among ``rivals``."""
    counts = Counter(each.quant for each in rivals if each.quant)
    return [
        replace(spec, aliases=(f"{repository}:{spec.quant}",)) if counts[spec.quant] == 1 else spec
        for spec in specs
    ]


def _snapshots(repository: Path) -> Iterator[tuple[str, Path]]:
    """Yield the snapshots that have a name, then the others by the start of their hash."""
    snapshots = repository / "snapshots"
    named: set[str] = set()
    refs = repository / "refs"
    names = [str(ref.relative_to(refs)) for ref in refs.rglob("*") if ref.is_file()]
    for name in sorted(names, key=lambda name: (name != _MAIN, name)):
        revision = _text(refs / name)
        if revision not in named and _HASH.fullmatch(revision):
            named.add(revision)
            yield name, snapshots / revision
    try:
        others = sorted(each for each in os.listdir(snapshots) if each not in named)  # noqa: PTH208
    except OSError:
        return
    is_only = not named and len(others) == 1
    for revision in others:
        yield (_MAIN if is_only else revision[:_SHORT]), snapshots / revision


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_REF_BYTES).decode(errors="replace").strip()
    except OSError:
        return ""


@hookimpl
def modeld_register_settings() -> type[HuggingFaceSettings]:
    """Return the table of the cache."""
    return HuggingFaceSettings


@hookimpl
def modeld_register_sources(settings: Settings) -> Iterable[RegistrySource]:
    """Bring the cache, if it is turned on."""
    own = settings.of(HuggingFaceSettings)
    cache = Path(own.cache_dir or cache_of(os.environ)).expanduser().absolute()
    return [HuggingFaceCache(str(cache))] if own.enabled else []
