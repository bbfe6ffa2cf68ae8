# SPDX-License-Identifier: GPL-3.0-only
"""The files that make one model: its shards, and the projector beside them."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Container, Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple

from modeld.builtin.gguf.files import FoundFile, look_at
from modeld.builtin.gguf.names import shard_name
from modeld.builtin.gguf.projectors import is_projector, projector_of

MOST_SHARDS: Final = 1000
"""A file that says by its name that it is one of more than these is no part of any model."""

_NAMED: Final = 5
"""How many missing files are known by their numbers; of the others it is known how many."""


class FileGroup(NamedTuple):
    """The files of one model in the order of their numbers; all but split models have one.

    ``relative`` is the path of the first file below the folder, also where that file is missing.
    ``shards`` is how many files there should be; ``missing_count`` of them are not there, and
    ``missing`` holds the first of their numbers. ``projector`` is the path of the file that
    belongs to it as its projector.
    """

    relative: str
    files: tuple[FoundFile, ...]
    shards: int = 1
    missing: tuple[int, ...] = ()
    missing_count: int = 0
    projector: str | None = None

    @property
    def name(self) -> str:
        """Return the name of the first file without its folders."""
        return self.relative.rpartition("/")[2]


def group_files(files: Iterable[FoundFile]) -> list[FileGroup]:
    """Put the shards of each split model together, and give each model its projector."""
    groups: list[FileGroup] = []
    projectors: list[FoundFile] = []
    split: dict[tuple[str, int], dict[int, list[FoundFile]]] = {}
    for file in files:
        if is_projector(file.name):
            projectors.append(file)
            continue
        name = shard_name(file.relative)
        if name is None:
            groups.append(FileGroup(relative=file.relative, files=(file,)))
        else:
            numbered = split.setdefault((name.stem, name.shards), {})
            numbered.setdefault(name.number, []).append(file)
    for (stem, shards), numbered in split.items():
        groups += _groups(stem, shards, numbered)
    return _with_projectors(groups, projectors) if projectors else groups


def group_at(path: Path) -> FileGroup:
    """Return the model whose file, or first file, is at ``path``, with the other shards beside it.

    A link is followed. A file that is not there is one with a problem.
    """
    name = shard_name(path.name)
    if name is None or name.number != 1:
        return FileGroup(path.name, (look_at(str(path), path.name),))
    suffix, shards = path.suffix, name.shards
    parts = {
        number: path.with_name(f"{name.stem}-{number:05}-of-{shards:05}{suffix}")
        for number in range(1, min(shards, MOST_SHARDS) + 1)
    }
    there = {number: part for number, part in parts.items() if os.path.lexists(part)}
    return FileGroup(
        path.name,
        tuple(look_at(str(part), part.name) for part in (there or {1: path}).values()),
        shards,
        _first_missing(shards, there),
        shards - len(there),
    )


def _groups(stem: str, shards: int, numbered: dict[int, list[FoundFile]]) -> list[FileGroup]:
    """Return one group; more where files differ only in how the suffix is written.

    Small letters come first.
    """
    groups = []
    for index in range(max(map(len, numbered.values()))):
        parts = {
            number: sorted(files, key=lambda file: file.relative, reverse=True)[index]
            for number, files in sorted(numbered.items())
            if index < len(files)
        }
        suffix = next(iter(parts.values())).relative[-len(".gguf") :]
        first = parts[1].relative if 1 in parts else f"{stem}-00001-of-{shards:05}{suffix}"
        missing = _first_missing(shards, parts)
        count = shards - len(parts)
        groups.append(FileGroup(first, tuple(parts.values()), shards, missing, count))
    return groups


def _first_missing(shards: int, there: Container[int]) -> tuple[int, ...]:
    missing = (number for number in range(1, shards + 1) if number not in there)
    return tuple(islice(missing, _NAMED))


def _with_projectors(
    groups: Sequence[FileGroup], projectors: Sequence[FoundFile]
) -> list[FileGroup]:
    beside: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for file in projectors:
        beside[file.relative.rpartition("/")[0]][file.name] = file.path
    models: defaultdict[str, list[str]] = defaultdict(list)
    for group in groups:
        models[group.relative.rpartition("/")[0]].append(group.name)
    given = []
    for group in groups:
        folder = group.relative.rpartition("/")[0]
        there = beside.get(folder, {})
        found = projector_of(group.name, tuple(there), models[folder]) if there else None
        given.append(group._replace(projector=there[found]) if found else group)
    return given
