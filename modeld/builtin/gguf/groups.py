# SPDX-License-Identifier: GPL-3.0-only
"""The files that make one model: its shards, and the projector beside them."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from modeld.builtin.gguf.files import FoundFile, look_at
from modeld.builtin.gguf.names import shard_name
from modeld.builtin.gguf.projectors import is_projector, projector_of


class FileGroup(NamedTuple):
    """The files of one model in the order of their numbers; all but split models have one.

    ``relative`` is the path of the first file below the folder, also where that file is missing.
    ``shards`` is how many files there should be, ``missing`` holds the numbers of those that
    are not there. ``projector`` is the path of the file that belongs to it as its projector.
    """

    relative: str
    files: tuple[FoundFile, ...]
    shards: int = 1
    missing: tuple[int, ...] = ()
    projector: str | None = None

    @property
    def name(self) -> str:
        """The name of the first file without its folders."""
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
    suffix = path.suffix
    parts = [
        path.with_name(f"{name.stem}-{n:05}-of-{name.shards:05}{suffix}")
        for n in range(1, name.shards + 1)
    ]
    there = [part for part in parts if os.path.lexists(part)]
    return FileGroup(
        path.name,
        tuple(look_at(str(part), part.name) for part in there or parts[:1]),
        name.shards,
        tuple(number for number, part in enumerate(parts, start=1) if part not in there),
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
        missing = tuple(number for number in range(1, shards + 1) if number not in parts)
        groups.append(FileGroup(first, tuple(parts.values()), shards, missing))
    return groups


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
